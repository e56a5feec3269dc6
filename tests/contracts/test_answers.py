from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.contracts.answers import Answers, References, gathered

COUNTS = st.lists(st.integers(0, 3), min_size=1, max_size=20)
"""Decisions of each item."""


def made(counts: list[int]) -> References:
    item = np.repeat(np.arange(len(counts)), counts)
    values = {"a": np.arange(len(item) * 2).reshape(-1, 2), "b": np.arange(len(item)) % 2 == 0}
    return References(values, item, item // 2, np.arange(len(item)) % 3 > 0)


def plain(references: References) -> Answers:
    return Answers(references.values, references.item, references.example)


@given(COUNTS, st.booleans())
def test_saving_keeps_everything(counts, right):
    given_ones = made(counts) if right else plain(made(counts))
    with tempfile.TemporaryDirectory() as folder:
        given_ones.save(Path(folder) / "x.safetensors")
        again = type(given_ones).open(Path(folder) / "x.safetensors")
    assert type(again) is type(given_ones)
    np.testing.assert_equal(vars(again), vars(given_ones))


def test_answers_are_no_references(tmp_path):
    plain(made([1])).save(tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"x.safetensors contains .*, which are not references"):
        References.open(tmp_path / "x.safetensors")
    made([1]).save(tmp_path / "y.safetensors")
    with pytest.raises(ValueError, match="which are not answers"):
        Answers.open(tmp_path / "y.safetensors")


@given(COUNTS, st.data())
def test_the_decisions_of_items(counts, data):
    references = made(counts)
    wanted = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=10))
    own = references.of_items(wanted)
    expected = [place for item in wanted for place in np.flatnonzero(references.item == item)]
    assert own.values["a"].tolist() == references.values["a"][expected].tolist()
    assert own.known.tolist() == references.known[expected].tolist()
    assert own.item.tolist() == [item for item in wanted for _ in range(counts[item])]
    assert references.counts(len(counts)).tolist() == counts


@given(COUNTS, st.integers(1, 4), st.randoms())
def test_answers_of_batches_are_gathered_in_order(counts, size, random):
    references = made(counts)
    order = list(range(len(counts)))
    random.shuffle(order)
    parts = [plain(references.of_items(order[i : i + size])) for i in range(0, len(order), size)]
    np.testing.assert_equal(vars(gathered(parts)), vars(plain(references)))


def test_examples_are_those_with_a_known_decision():
    references = References({}, np.array([0, 1, 2, 3]), np.array([0, 0, 4, 7]), np.array([False, True, False, True]))
    assert references.examples.tolist() == [0, 7]
