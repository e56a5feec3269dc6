"""The grid of student shapes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgedistill.contracts import registry
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.planning.shape_grid import depths, grid

SOURCE = ModelShape(4, 64, heads=4, intermediate_size=256)


@given(st.integers(1, 48), st.integers(1, 16), st.sampled_from([8, 16, 64]), st.integers(8, 4096))
def test_every_shape_is_a_student_that_a_recipe_accepts_and_no_larger_than_its_source(layers, heads, size, neurons):
    source = ModelShape(layers, heads * size, heads=heads, intermediate_size=neurons)
    lines = []
    for shape in grid(source):
        assert 1 <= shape.layers <= layers
        assert shape.hidden_size <= source.hidden_size
        assert shape.intermediate_size <= neurons
        assert shape.hidden_size // shape.heads == size
        line = shape.student("teacher", source)
        registry.student(str(line["init"])).spec.model_validate(line)
        lines.append(tuple(line.items()))
    assert len(lines) == len(set(lines))


def test_the_source_itself_keeps_its_layers():
    first = next(grid(SOURCE))
    assert first.student("r1", SOURCE) == {"init": "keep_layers", "from": "r1", "layers": 4}


def test_widths_are_whole_heads_and_feed_forwards_in_proportion():
    assert {(one.hidden_size, one.heads, one.intermediate_size) for one in grid(SOURCE)} == {
        (64, 4, 256),
        (64, 4, 128),
        (32, 2, 128),
        (32, 2, 64),
        (16, 1, 64),
        (16, 1, 32),
    }


def test_no_grid_without_a_feed_forward_width():
    assert list(grid(ModelShape(4, 64))) == []


@given(st.integers(1, 200))
def test_depths_go_from_the_source_to_one_layer(layers):
    found = depths(layers)
    assert found[0] == layers
    assert len(found) <= 12
    assert found == sorted(set(found), reverse=True)
    assert layers > 12 or found == list(range(layers, 0, -1))
