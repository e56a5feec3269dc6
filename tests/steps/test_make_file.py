"""Which items calibrate; the making itself is read in runs (`tests/test_devices.py`)."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import text_items

from edgedistill.arrays import evenly_spaced

DATA = text_items([[number] * (number + 1) for number in range(10)], list(np.arange(10) // 2), pad=7)


def test_calibration_items_are_spread_over_sorted_data():
    taken = DATA.take(evenly_spaced(len(DATA), 5))
    assert taken.values["labels"].tolist() == [0, 1, 2, 3, 4]
    assert taken.lengths.tolist() == [1, 3, 5, 7, 10]
    assert taken.batch([1, 2])["input_ids"].tolist() == [[2, 2, 2, 7, 7], [4, 4, 4, 4, 4]]


@pytest.mark.parametrize("take", [10, 50, None])
def test_all_items_when_there_are_no_more(take):
    assert evenly_spaced(len(DATA), take).tolist() == list(range(10))
