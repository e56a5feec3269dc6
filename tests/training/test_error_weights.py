from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.contracts.answers import Answers, References
from edgedistill.tasks._classification_judge import error_weights, right
from edgedistill.training.error_weights import example_weights, teacher_trust

LOGITS = np.array([[4.0, 0.0], [0.1, 0.0], [3.0, 0.0], [0.0, 5.0]])
TARGETS = np.array([0, 0, 1, -1])  # sure and right, doubtful and right, wrong, no target


def judged(logits, targets, example=None) -> tuple[Answers, References]:
    item = np.arange(len(targets))
    example = item if example is None else np.asarray(example)
    references = References({"class": np.asarray(targets)}, item, example, np.asarray(targets) >= 0)
    return Answers({"logits": np.asarray(logits)}, item, example), references


def weights(logits, targets, kind, strength, example=None, examples=None):
    answers, references = judged(logits, targets, example)
    raw = error_weights(answers, references, kind, strength)
    return example_weights(raw, references, len(targets) if examples is None else examples)


@pytest.mark.parametrize("kind", ["focal", "boost"])
@given(strength=st.floats(0.5, 5))
def test_the_mean_is_one_and_what_has_no_target_counts_one(kind, strength):
    found = weights(LOGITS, TARGETS, kind, strength)
    assert found[:3].mean() == pytest.approx(1, rel=1e-5)
    assert found[3] == 1


def test_focal_grows_with_doubt_and_boost_with_error_only():
    sure, doubtful, wrong, _ = weights(LOGITS, TARGETS, "focal", 2.0)
    assert sure < doubtful < wrong
    sure, doubtful, wrong, _ = weights(LOGITS, TARGETS, "boost", 3.0)
    assert sure == doubtful
    assert wrong == pytest.approx(3 * sure)


def test_a_perfect_predecessor_changes_nothing():
    for kind in ("focal", "boost"):
        assert weights([[1e4, 0.0], [0.0, 1e4]], [0, 1], kind, 2.0).tolist() == [1, 1]


def test_an_example_of_several_decisions_has_the_mean_weight_of_those_that_have_a_target():
    targets, owners = [0, 1, -1, 1, -1, -1, 0], [0, 0, 0, 1, 2, 2, 3]
    found = weights([[2.0, 0.0]] * 7, targets, "boost", 3.0, owners, 5)
    raw = np.array([(1 + 3) / 2, 3, 1])
    assert found[[0, 1, 3]] == pytest.approx(raw / raw.mean())
    assert found[2] == found[4] == 1


def test_without_any_target_all_count_alike():
    assert weights(LOGITS, [-1] * 4, "boost", 3.0).tolist() == [1, 1, 1, 1]


def test_trust_falls_where_the_teacher_contradicts_the_label():
    answers, references = judged(LOGITS, TARGETS)
    assert teacher_trust(right(answers, references), references, 0.25).tolist() == [1, 1, 0.25, 1]
