from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.error_weights import error_weights, teacher_trust

LOGITS = np.array([[4.0, 0.0], [0.1, 0.0], [3.0, 0.0], [0.0, 5.0]])
TARGETS = np.array([0, 0, 1, -100])  # sure and right, doubtful and right, wrong, no target


@pytest.mark.parametrize("kind", ["focal", "boost"])
@given(strength=st.floats(0.5, 5))
def test_the_mean_is_one_and_what_has_no_target_counts_one(kind, strength):
    weights = error_weights(LOGITS, TARGETS, kind, strength)
    assert weights[:3].mean() == pytest.approx(1, rel=1e-5)
    assert weights[3] == 1


def test_focal_grows_with_doubt_and_boost_with_error_only():
    sure, doubtful, wrong, _ = error_weights(LOGITS, TARGETS, "focal", 2.0)
    assert sure < doubtful < wrong
    sure, doubtful, wrong, _ = error_weights(LOGITS, TARGETS, "boost", 3.0)
    assert sure == doubtful
    assert wrong == pytest.approx(3 * sure)


def test_a_perfect_predecessor_changes_nothing():
    logits = np.array([[1e4, 0.0], [0.0, 1e4]])
    for kind in ("focal", "boost"):
        assert error_weights(logits, np.array([0, 1]), kind, 2.0).tolist() == [1, 1]


def test_trust_falls_where_the_teacher_contradicts_the_label():
    assert teacher_trust(LOGITS, TARGETS, 0.25).tolist() == [1, 1, 0.25, 1]
