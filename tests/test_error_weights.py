from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.error_weights import error_weights, teacher_trust

LOGITS = np.array([[4.0, 0.0], [0.1, 0.0], [3.0, 0.0], [0.0, 5.0]])
TARGETS = np.array([0, 0, 1, -100])  # sure and right, doubtful and right, wrong, no target
ALONE = np.arange(4)  # an item for every row


@pytest.mark.parametrize("kind", ["focal", "boost"])
@given(strength=st.floats(0.5, 5))
def test_the_mean_is_one_and_what_has_no_target_counts_one(kind, strength):
    weights = error_weights(LOGITS, TARGETS, ALONE, 4, kind, strength)
    assert weights[:3].mean() == pytest.approx(1, rel=1e-5)
    assert weights[3] == 1


def test_focal_grows_with_doubt_and_boost_with_error_only():
    sure, doubtful, wrong, _ = error_weights(LOGITS, TARGETS, ALONE, 4, "focal", 2.0)
    assert sure < doubtful < wrong
    sure, doubtful, wrong, _ = error_weights(LOGITS, TARGETS, ALONE, 4, "boost", 3.0)
    assert sure == doubtful
    assert wrong == pytest.approx(3 * sure)


def test_a_perfect_predecessor_changes_nothing():
    logits = np.array([[1e4, 0.0], [0.0, 1e4]])
    for kind in ("focal", "boost"):
        assert error_weights(logits, np.array([0, 1]), np.array([0, 1]), 2, kind, 2.0).tolist() == [1, 1]


def test_an_item_of_several_rows_has_the_mean_weight_of_those_that_have_a_target():
    logits = np.array([[2.0, 0.0]] * 7)
    targets = np.array([0, 1, -100, 1, -100, -100, 0])
    owners = np.array([0, 0, 0, 1, 2, 2, 3])
    weights = error_weights(logits, targets, owners, 4, "boost", 3.0)
    raw = np.array([(1 + 3) / 2, 3, 1])
    assert weights[[0, 1, 3]] == pytest.approx(raw / raw.mean())
    assert weights[2] == 1


def test_trust_falls_where_the_teacher_contradicts_the_label():
    assert teacher_trust(LOGITS, TARGETS, 0.25).tolist() == [1, 1, 0.25, 1]
