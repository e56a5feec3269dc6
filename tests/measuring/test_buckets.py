from __future__ import annotations

import numpy as np
import pytest

from edgedistill.errors import EdgedistillError
from edgedistill.measuring.buckets import Bucketed


class Echo:
    """Answers with what it was given, and with one row of two classes."""

    def __init__(self, length: int) -> None:
        self.input_names = ["input_ids", "attention_mask"]
        self.length, self.seen = length, None

    def run(self, inputs):
        self.seen = inputs
        return [np.zeros((1, 2)), inputs["input_ids"][..., None]]

    def backend(self):
        return {"length": self.length}


def inputs(length: int):
    return {
        "input_ids": np.arange(1, length + 1)[None],
        "attention_mask": np.ones((1, length), dtype=np.int64),
        "labels": np.array([3]),
    }


@pytest.fixture
def echoes():
    return {8: Echo(8), 4: Echo(4)}


@pytest.mark.parametrize(("length", "bucket"), [(1, 4), (4, 4), (5, 8), (8, 8)])
def test_the_smallest_file_that_holds_an_input_runs_it_padded_under_the_mask(echoes, length, bucket):
    rows, tokens = Bucketed(echoes).run(inputs(length))
    seen = echoes[bucket].seen
    assert echoes[12 - bucket].seen is None
    assert seen["input_ids"].tolist() == [[*range(1, length + 1), *[0] * (bucket - length)]]
    assert seen["attention_mask"].tolist() == [[1] * length + [0] * (bucket - length)]
    assert rows.shape == (1, 2)
    assert tokens[..., 0].tolist() == [list(range(1, length + 1))]


def test_an_input_longer_than_every_file_is_an_error_and_not_cut(echoes):
    with pytest.raises(EdgedistillError, match="an input of 9 tokens is longer than the largest file, of 8"):
        Bucketed(echoes).run(inputs(9))


def test_every_files_backend_is_asked_and_the_largest_reported(echoes):
    assert Bucketed(echoes).backend() == {"length": 8}

    def elsewhere():
        raise EdgedistillError("on another backend")

    echoes[4].backend = elsewhere
    with pytest.raises(EdgedistillError, match="on another backend"):
        Bucketed(echoes).backend()
