from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.arrays import Array
from edgedistill.contracts.items import Column, Items, joined

EXAMPLES = st.lists(st.lists(st.integers(1, 9), min_size=0, max_size=3), min_size=1, max_size=15).filter(any)
"""By example, the lengths of its items."""
Side = Literal["right", "left"]
SIDES: st.SearchStrategy[Side] = st.sampled_from(get_args(Side))


def made(examples: list[list[int]], side: Side = "right", short: bool = False) -> Items:
    """Items of every layout; `short`: with a target sequence of other lengths."""
    lengths = [length for example in examples for length in example]
    starts = np.cumsum([0, *lengths])
    columns = {
        "tokens": Column("input", "sequence", pad=-7, side=side, tokens=True),
        "mask": Column("input", "sequence", side=side),
        "image": Column("input", "block"),
        "class": Column("target", "scalar"),
    }
    content: dict[str, Sequence[object] | Array] = {
        "tokens": [np.arange(start + 1, start + 1 + length) for start, length in zip(starts, lengths, strict=False)],
        "mask": [[1] * length for length in lengths],
        "image": np.arange(len(lengths) * 6).reshape(-1, 2, 3),
        "class": np.arange(len(lengths)),
    }
    if short:
        columns["tags"] = Column("target", "sequence", pad=-100)
        content["tags"] = [[length] * ((length + 1) // 2) for length in lengths]
    return Items.of(columns, content, np.repeat(np.arange(len(examples)), [len(example) for example in examples]))


def same(a: Items, b: Items) -> None:
    assert a.columns == b.columns
    assert a.length_of == b.length_of
    np.testing.assert_equal(dict(a.values), dict(b.values))
    np.testing.assert_equal(dict(a.offsets), dict(b.offsets))
    np.testing.assert_equal(a.example, b.example)


@given(EXAMPLES, SIDES, st.booleans())
def test_a_batch_holds_every_token_once_and_padding_on_its_side(examples, side, short):
    items = made(examples, side, short)
    everything = np.arange(len(items))
    batch = items.batch(everything)
    assert batch["tokens"].shape == (len(items), items.lengths.max())
    real = items.real(everything)
    np.testing.assert_equal(real, batch["mask"] == 1)
    assert batch["tokens"][real].tolist() == list(range(1, int(items.lengths.sum()) + 1))
    assert (batch["tokens"][~real] == -7).all()
    for row, length in zip(real, items.lengths, strict=True):
        assert row[:length].all() if side == "right" else row[len(row) - length :].all()
    np.testing.assert_equal(batch["image"], items.values["image"])
    if short:
        assert batch["tags"].shape[1] == (items.lengths.max() + 1) // 2
        assert (batch["tags"] == -100).sum() == batch["tags"].size - len(items.values["tags"])


@given(EXAMPLES, SIDES, st.booleans(), st.data())
def test_a_batch_of_taken_items_is_the_batch_of_those_items(examples, side, short, data):
    items = made(examples, side, short)
    chosen = data.draw(st.lists(st.integers(0, len(items) - 1), min_size=1, max_size=20))
    length = data.draw(st.none() | st.integers(1, 12))
    taken = items.take(chosen)
    np.testing.assert_equal(taken.batch(range(len(chosen)), length), items.batch(chosen, length))
    np.testing.assert_equal(taken.real(range(len(chosen)), length), items.real(chosen, length))
    np.testing.assert_equal(taken.lengths, items.lengths[chosen])
    np.testing.assert_equal(taken.example, items.example[chosen])


@given(EXAMPLES, SIDES)
def test_inputs_and_targets_are_the_batch_together(examples, side):
    items = made(examples, side, short=True)
    inputs, targets = items.inputs([0], 4), items.targets([0], 4)
    assert set(inputs) == {"tokens", "mask", "image"}
    assert set(targets) == {"class", "tags"}
    np.testing.assert_equal({**inputs, **targets}, items.batch([0], 4))


@pytest.mark.parametrize(("side", "expected"), [("right", [[3, 4, 5], [1, 2, -7]]), ("left", [[3, 4, 5], [-7, 1, 2]])])
def test_items_are_cut_or_padded_to_a_length(side, expected):
    items = made([[2], [5]], side)
    assert items.batch([1, 0], length=3)["tokens"].tolist() == expected


@given(EXAMPLES, SIDES, st.booleans())
def test_saving_keeps_everything(examples, side, short):
    items = made(examples, side, short)
    with tempfile.TemporaryDirectory() as folder:
        items.save(Path(folder) / "x.safetensors")
        first = (Path(folder) / "x.safetensors").read_bytes()
        again = Items.open(Path(folder) / "x.safetensors")
        again.save(Path(folder) / "x.safetensors")
        assert (Path(folder) / "x.safetensors").read_bytes() == first
    same(again, items)


def test_other_files_are_no_items(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"x.safetensors does not contain items"):
        Items.open(tmp_path / "x.safetensors")


@given(EXAMPLES, EXAMPLES)
def test_joined_items_are_those_of_all_parts(first, second):
    together = joined([made(first), made(second)], [len(first), len(second)])
    whole = made(first + second)
    np.testing.assert_equal(together.example, whole.example)
    np.testing.assert_equal(together.offsets["tokens"], whole.offsets["tokens"])
    a, b = made(first), made(second)
    rest = np.arange(len(a), len(together))
    np.testing.assert_equal(together.batch(np.arange(len(a))), a.batch(np.arange(len(a))))
    np.testing.assert_equal(together.batch(rest), b.batch(np.arange(len(b))))
    assert together.offsets["tokens"] is together.offsets["mask"]


def test_items_of_other_columns_are_not_joined():
    with pytest.raises(ValueError, match="different columns"):
        joined([made([[1]]), made([[1]], "left")])


@given(EXAMPLES, st.data())
def test_the_items_of_an_example(examples, data):
    items = made(examples)
    wanted = data.draw(st.lists(st.integers(0, len(examples) - 1)))
    expected = [item for example in wanted for item in np.flatnonzero(items.example == example)]
    assert items.of_examples(wanted).tolist() == expected


def test_lengths_without_a_sequence_are_one():
    items = Items.of({"image": Column("input", "block")}, {"image": np.zeros((3, 2))}, [0, 1, 2])
    assert items.lengths.tolist() == [1, 1, 1]
    assert items.real([0, 1]).tolist() == [[True], [True]]
    assert items.token_column is None


def test_the_length_is_the_first_sequence_input_or_the_one_named():
    items = made([[4]], short=True)
    assert items.length_column == "tokens" == items.token_column
    columns = {"tags": items.columns["tags"], "tokens": items.columns["tokens"]}
    content = {"tags": [[1]], "tokens": [[1, 2]]}
    assert Items.of(columns, content, [0]).lengths.tolist() == [2]
    assert Items.of(columns, content, [0], "tags").lengths.tolist() == [1]


@pytest.mark.parametrize(
    ("columns", "content", "example", "message"),
    [
        (
            {"a": Column("input", "scalar")},
            {"a": [1, 2]},
            [0],
            r"column 'a' has the shape \(2,\), which is not a scalar",
        ),
        ({"a": Column("input", "block")}, {"a": [1, 2]}, [0, 1], "not a block of 2 items"),
        ({"a": Column("input", "sequence")}, {"a": [[1], [2]]}, [0], "not a sequence of 1 items"),
        ({"a": Column("input", "scalar")}, {"a": [1, 2]}, [1, 0], "in the order of their examples"),
        ({"a": Column("input", "scalar")}, {"b": [1]}, [0], r"have the columns \['b'\], but declare \['a'\]"),
    ],
)
def test_items_that_contradict_themselves_are_refused(columns, content, example, message):
    with pytest.raises(ValueError, match=message):
        Items.of(columns, content, example)
