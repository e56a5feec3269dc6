"""Sizes of files from weights, counted by hand; real files are in tests/exporting/test_trial_encoders.py."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edgedistill.contracts.weights import Graph, Weights, by_column, in_blocks, plain

NOTHING = Graph(around=0, layer=0)
ONE = Weights(layers=1, tables=((10, 4),), attention=(), feed_forward=((4, 6),), head=((6, 2),), vectors=5, positions=3)
SIZINGS = (
    *(plain(4, NOTHING), plain(2, NOTHING), by_column(NOTHING)),
    *(in_blocks(8, 8, 32, NOTHING), in_blocks(2, 8, 32, NOTHING)),
)
counts = st.integers(1, 300)


def test_plain_types():
    numbers = 10 * 4 + 4 * 6 + 6 * 2 + 5
    assert plain(4, NOTHING)(ONE) == 4 * numbers + 3 * 8
    assert plain(2, NOTHING)(ONE) == 2 * numbers + 3 * 8


def test_a_scale_and_a_zero_point_for_every_output():
    assert by_column(NOTHING)(ONE) == 10 * 4 + 4 * 6 + 6 * 2 + 5 * (6 + 2) + 4 * 5 + 3 * 8


def test_blocks_are_whole_and_the_head_stays():
    table, product, left = 10 * (32 + 2), 6 * (32 + 4), 4 * (6 * 2 + 5) + 3 * 8
    assert in_blocks(8, 8, 32, NOTHING)(ONE) == table + product + left
    assert in_blocks(4, 8, 32, NOTHING)(ONE) == table + 6 * (16 + 4 + 1) + left
    assert in_blocks(2, 8, 32, NOTHING)(ONE) == table + 6 * (8 + 4 + 1) + left
    finer = 10 * (16 + 2 + 1) + 6 * (32 + 4 + 1) + left
    assert in_blocks(4, 4, 64, NOTHING, of_tables=32)(ONE) == finer
    long = replace(ONE, feed_forward=((4 + 5 * 32, 6),))  # six blocks: zero points of 12 bits, in whole bytes
    assert in_blocks(2, 8, 32, NOTHING)(long) == table + 6 * (6 * (8 + 4) + 2) + left


def test_the_graph_grows_with_the_layers():
    sized = plain(4, Graph(around=100, layer=10))
    assert sized(ONE) - plain(4, NOTHING)(ONE) == 110
    assert sized(replace(ONE, layers=3)) - sized(ONE) == 20


@given(rows=counts, width=counts, outputs=counts, more=counts)
def test_more_weights_are_never_a_smaller_file(rows, width, outputs, more):
    small = Weights(1, ((rows, width),), ((width, outputs),), (), ((outputs, 2),), vectors=outputs)
    large = replace(small, tables=((rows + more, width),), attention=((width, outputs + more),))
    for sized in SIZINGS:
        assert sized(large) > sized(small) > 0


def test_the_compute_of_a_token_leaves_out_tables_and_head():
    assert replace(ONE, attention=((4, 4),), projections=((2, 4),)).of_layers == 24 + 16 + 8
