"""How a document is split: every decision in one window, with as much before it as is promised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.tasks._language_windows import Window, consecutive, overlapping

DOCUMENTS = st.lists(st.booleans(), min_size=1, max_size=60).map(lambda asked: np.array(asked, np.bool_))


def decided(asked, windows):
    """The position that each decision follows, window by window."""
    return [place for w in windows for place in range(w.decides, w.end) if asked[place]]


@pytest.mark.parametrize("split", [consecutive, overlapping])
@given(asked=DOCUMENTS, length=st.integers(4, 20))
def test_every_decision_is_in_exactly_one_window(split, asked, length):
    windows = split(asked, length)
    assert decided(asked, windows) == np.flatnonzero(asked).tolist()
    assert all(0 <= w.start <= w.decides < w.end <= min(len(asked), w.start + length) for w in windows)
    assert len(windows) == 1 or all(asked[w.decides : w.end].any() for w in windows)


@given(asked=DOCUMENTS, length=st.integers(4, 20))
def test_where_windows_overlap_a_decision_has_all_that_fits_or_more_than_half_a_window(asked, length):
    for window in overlapping(asked, length):
        for place in range(window.decides, window.end):
            if asked[place]:
                seen = place + 1 - window.start
                assert seen == place + 1 if place < length else seen > length / 2


@given(asked=DOCUMENTS, length=st.integers(4, 20))
def test_they_are_few(asked, length):
    last = int(np.flatnonzero(asked)[-1]) + 1 if asked.any() else 1
    assert len(overlapping(asked, length)) <= 1 + -(-max(0, last - length) // (length // 2))


def test_a_reply_behind_a_long_prompt_is_one_window_that_ends_with_it():
    asked = np.arange(702) >= 600
    assert overlapping(asked, 512) == [Window(190, 600, 702)]


def test_what_fits_is_predicted_from_the_whole_prompt():
    asked = (np.arange(600) >= 500) & (np.arange(600) < 599)
    assert overlapping(asked, 512) == [Window(0, 500, 512), Window(87, 512, 599)]


def test_a_text_is_split_into_windows_that_share_nothing():
    assert consecutive(np.ones(10, np.bool_), 4) == [Window(0, 0, 4), Window(4, 4, 8), Window(8, 8, 10)]


@pytest.mark.parametrize("split", [consecutive, overlapping])
def test_a_document_of_which_nothing_is_asked_has_its_first_window(split):
    assert split(np.zeros(10, np.bool_), 4) == [Window(0, 0, 4)]
