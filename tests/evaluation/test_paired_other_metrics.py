"""Paired comparison and the stop rule where the metric is no mean over items (F1): the side that others don't take."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation.test_statistics import ACCURACY, F1, f1, f1_rows, right

from edgedistill.evaluation.statistics import compare, drop_exceeds
from edgedistill.evaluation.stop import judge
from edgedistill.recipe.deployment_spec import Limits
from edgedistill.recipe.schema import StopSpec

LABELS = np.tile(np.arange(3), 100)


def decisions(wrong: int, start: int = 0) -> np.ndarray:
    """The labels, but for so many items, from `start` on, that get the next class."""
    found = LABELS.copy()
    found[start : start + wrong] = (found[start : start + wrong] + 1) % 3
    return found


def answers(wrong: int, start: int = 0) -> np.ndarray:
    """The statistics of these decisions."""
    return f1_rows(decisions(wrong, start), LABELS)


@pytest.fixture(scope="module")
def draws():
    """Resampled gains of a slightly better model over a worse one, by the definition."""
    better, worse, generator = answers(30), answers(40, 100), np.random.default_rng(0)
    found = []
    for _ in range(2000):
        i = generator.integers(0, 300, 300)
        found.append(f1(better[i]) - f1(worse[i]))
    return np.array(found)


def test_the_p_is_two_sided(draws):
    expected = 2 * min((draws <= 0).mean(), (draws >= 0).mean())
    assert 0.05 < expected < 0.6
    found = compare(F1, answers(30), answers(40, 100))
    assert found.p == pytest.approx(expected)
    assert found.gain == pytest.approx(f1(answers(30)) - f1(answers(40, 100)))
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])))


def test_a_drop_exceeds_what_its_low_tail_exceeds(draws):
    low = float(np.percentile(draws, 5))
    arguments = (F1, answers(30), answers(40, 100))
    assert drop_exceeds(*arguments, limit=low - 0.001, alpha=0.05)
    assert not drop_exceeds(*arguments, limit=low + 0.001, alpha=0.05)


def judged(teacher, student, **rule):
    spec = StopSpec.model_validate({"when": {"drop": 0.03}, **rule})
    return judge("r1", F1, teacher, student, [], spec, Limits())


def test_the_rule_stops_at_a_drop_and_not_at_a_gain():
    assert judged(answers(10), answers(70)).stop
    assert not judged(answers(70), answers(10)).stop
    assert judged(answers(10), answers(70)).drop > 0 > judged(answers(70), answers(10)).drop
    assert judged(answers(10), answers(70)).real
    assert not judged(answers(70), answers(10)).real


def test_a_mean_that_is_better_never_stops_either():
    few, many = (right(decisions(wrong) == LABELS) for wrong in (10, 70))
    assert drop_exceeds(ACCURACY, few, many, 0.03, 0.05)
    assert not drop_exceeds(ACCURACY, many, few, 0.03, 0.05)
