from __future__ import annotations

import numpy as np
import pytest

from edgedistill.contracts.driver import Port
from edgedistill.contracts.items import Column
from edgedistill.device.buckets import Bucketed
from edgedistill.errors import EdgedistillError

COLUMNS = {
    "ids": Column("input", "sequence", pad=7),
    "mask": Column("input", "sequence"),
    "pixels": Column("input", "block"),
    "label": Column("target", "scalar"),
}
LEFT = {name: Column(column.role, column.layout, column.pad, "left") for name, column in COLUMNS.items()}


class Echo:
    """Answers with what it was given: a row of two classes, and something of every token."""

    def __init__(self, length: int) -> None:
        self.inputs = {name: Port("int64", (1, length)) for name in ("ids", "mask")}
        self.outputs = {"rows": Port("float32", (1, length)), "tokens": Port("int64", (1, length, 1))}
        self.length, self.seen = length, None

    def run(self, feeds):
        self.seen = feeds
        return {"rows": np.zeros((1, self.length)), "tokens": feeds["ids"][..., None]}

    def backend(self):
        return {"length": self.length}


def feeds(length: int):
    return {
        "ids": np.arange(1, length + 1)[None],
        "mask": np.ones((1, length), dtype=np.int64),
        "pixels": np.zeros((1, 3)),
        "label": np.array([3]),
    }


@pytest.fixture
def echoes():
    return {8: Echo(8), 4: Echo(4)}


@pytest.mark.parametrize(("length", "bucket"), [(1, 4), (4, 4), (5, 8), (8, 8)])
@pytest.mark.parametrize("columns", [COLUMNS, LEFT])
def test_the_smallest_file_that_holds_an_input_runs_it_padded_as_its_columns_say(echoes, length, bucket, columns):
    found = Bucketed(echoes, columns, {"tokens": 1}).run(feeds(length))
    seen = echoes[bucket].seen
    assert echoes[12 - bucket].seen is None
    ids, padding = list(range(1, length + 1)), bucket - length
    if columns is LEFT:
        assert seen["ids"].tolist() == [[7] * padding + ids]
        assert seen["mask"].tolist() == [[0] * padding + [1] * length]
    else:
        assert seen["ids"].tolist() == [ids + [7] * padding]
        assert seen["mask"].tolist() == [[1] * length + [0] * padding]
    assert seen["pixels"].shape == (1, 3)
    assert found["tokens"][..., 0].tolist() == [ids]


def test_an_output_as_wide_as_a_bucket_is_not_cut_unless_it_runs_over_tokens(echoes):
    """Four classes, or a hidden size of eight, are no tokens."""
    assert Bucketed(echoes, COLUMNS, {"tokens": 1}).run(feeds(3))["rows"].shape == (1, 4)


class Decoder:
    """One token at a time, beside a cache (B, heads, T, size) of a fixed length."""

    def __init__(self, length: int) -> None:
        self.inputs = {"ids": Port("int64", (1, 1)), "past": Port("float32", (1, 2, length, 3))}
        self.outputs = {"logits": Port("float32", (1, 1, 5)), "present": Port("float32", (1, 2, length, 3))}

    def run(self, feeds):
        assert feeds["ids"].shape == (1, 1)
        assert feeds["past"].shape == self.inputs["past"].shape
        return {"logits": np.zeros((1, 1, 5)), "present": feeds["past"] + 1}

    def backend(self):
        return {}


@pytest.mark.parametrize(("columns", "kept"), [(COLUMNS, slice(0, 6)), (LEFT, slice(0, 6))])
def test_a_cache_is_padded_and_cut_where_its_driver_says(columns, kept):
    past = np.random.default_rng(0).normal(size=(1, 2, 6, 3))
    graph = Bucketed({4: Decoder(4), 8: Decoder(8)}, columns, {"past": 2, "present": 2, "logits": 1})
    found = graph.run({"ids": np.array([[5]]), "past": past})
    np.testing.assert_array_equal(found["present"], past[:, :, kept] + 1)
    assert found["logits"].shape == (1, 1, 5)


def test_an_input_longer_than_every_file_is_an_error_and_not_cut(echoes):
    with pytest.raises(EdgedistillError, match="an input of 9 tokens is longer than the largest file, of 8"):
        Bucketed(echoes, COLUMNS, {}).run(feeds(9))


def test_every_files_backend_is_asked_and_the_largest_reported(echoes):
    assert Bucketed(echoes, COLUMNS, {}).backend() == {"length": 8}

    def elsewhere():
        raise EdgedistillError("on another backend")

    echoes[4].backend = elsewhere
    with pytest.raises(EdgedistillError, match="on another backend"):
        Bucketed(echoes, COLUMNS, {}).backend()
