"""Which items calibrate; the making itself is read in runs (`tests/test_devices.py`)."""

from __future__ import annotations

import numpy as np
import pytest

from edgedistill.ragged import Ragged, spread

DATA = Ragged(
    {"input_ids": np.repeat(np.arange(10), np.arange(1, 11)), "labels": np.arange(10) // 2},
    np.concatenate([[0], np.cumsum(np.arange(1, 11))]),
    frozenset({"input_ids"}),
    pad_token=7,
)


def test_calibration_items_are_spread_over_sorted_data():
    taken = DATA.take(spread(len(DATA), 5))
    assert taken.values["labels"].tolist() == [0, 1, 2, 3, 4]
    assert taken.lengths.tolist() == [1, 3, 5, 7, 10]
    assert taken.batch([1, 2])["input_ids"].tolist() == [[2, 2, 2, 7, 7], [4, 4, 4, 4, 4]]


@pytest.mark.parametrize("take", [10, 50, None])
def test_all_items_when_there_are_no_more(take):
    assert spread(len(DATA), take).tolist() == list(range(10))
