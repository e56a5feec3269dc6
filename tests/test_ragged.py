from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.ragged import Ragged, length_buckets

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=40)


def made(lengths: list[int]) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.arange(1, offsets[-1] + 1)
    values = {"input_ids": ids, "attention_mask": np.ones_like(ids), "labels": np.arange(len(lengths))}
    return Ragged(values, offsets, frozenset({"input_ids", "attention_mask"}), pad_token=-7)


@given(LENGTHS)
def test_a_batch_holds_every_token_of_its_items_and_padding(lengths):
    data = made(lengths)
    batch = data.batch(list(range(len(lengths))))
    assert batch["input_ids"].shape == (len(lengths), max(lengths))
    assert batch["input_ids"][batch["attention_mask"] == 1].tolist() == list(range(1, sum(lengths) + 1))
    assert (batch["input_ids"][batch["attention_mask"] == 0] == -7).all()
    assert batch["labels"].tolist() == list(range(len(lengths)))


def test_items_are_cut_or_padded_to_a_length():
    data = made([2, 5])
    assert data.batch([1, 0], length=3)["input_ids"].tolist() == [[3, 4, 5], [1, 2, -7]]


def test_token_labels_are_padded_with_the_ignored_class():
    data = Ragged({"labels": np.array([4, 5, 6])}, np.array([0, 1, 3]), frozenset({"labels"}))
    assert data.batch([0, 1])["labels"].tolist() == [[4, -100], [5, 6]]


@given(LENGTHS)
def test_saving_keeps_everything(lengths):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        data = made(lengths)
        data.save(Path(folder) / "x.safetensors")
        again = Ragged.open(Path(folder) / "x.safetensors")
    assert again.pad_token == -7
    assert again.sequences == data.sequences
    np.testing.assert_equal(again.batch([0]), data.batch([0]))


@given(LENGTHS, st.integers(1, 7), st.integers(0, 3))
def test_buckets_hold_every_item_once(lengths, batch_size, seed):
    array = np.array(lengths)
    for generator in (None, np.random.default_rng(seed)):
        batches = length_buckets(array, batch_size, generator)
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        assert max(len(batch) for batch in batches) <= batch_size


def test_buckets_hold_items_of_similar_length():
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    spread = [np.ptp(lengths[batch]) for batch in length_buckets(lengths, 10, np.random.default_rng(1))]
    assert np.mean(spread) < 10
