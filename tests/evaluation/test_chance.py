from __future__ import annotations

import numpy as np
import pytest
from helpers import unused

from edgedistill.arrays import positions
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.judge import Judge
from edgedistill.contracts.metric import Metric
from edgedistill.evaluation.chance import AgainstChance
from edgedistill.evaluation.chance import against_chance as compared
from edgedistill.tasks._classification_judge import JUDGE


def labelled(classes, example=None, known=None) -> References:
    item = np.arange(len(classes))
    known = np.ones(len(classes), bool) if known is None else np.asarray(known)
    return References({"class": np.asarray(classes)}, item, item if example is None else np.asarray(example), known)


def against_chance(decisions, references, metric="accuracy") -> AgainstChance:
    return compared(metric, JUDGE, labelled(decisions), labelled(references))


BALANCED = np.repeat(np.arange(4), 10)


@pytest.mark.parametrize(
    ("decisions", "references", "at_chance"),
    [
        (BALANCED, BALANCED, False),
        (np.roll(BALANCED, 10), BALANCED, True),  # the classes in another order: all wrong
        (np.zeros(40, int), BALANCED, True),
        (np.where(np.arange(40) % 2, BALANCED, 0), BALANCED, False),
        # 95% of one class: always saying it is at chance; finding most of the others is not, with less accuracy.
        (np.zeros(200, int), np.arange(200) < 10, True),
        (np.arange(200) < 25, np.arange(200) < 10, False),
        (np.arange(8) % 2, np.arange(8) % 2, False),
    ],
)
def test_chance_is_what_the_same_answers_get_in_random_order(decisions, references, at_chance):
    found = against_chance(decisions.astype(int), references.astype(int))
    assert found.at_chance == at_chance


def test_the_expected_number_is_that_of_the_shares():
    found = against_chance(np.array([0, 0, 1, 1] * 5), np.array([0, 0, 0, 1] * 5))
    assert (found.figure, found.cases) == (0.75, 20)
    assert found.expected == pytest.approx((2 * 3 + 2 * 1) / 16, abs=0.01)
    assert found.beside("test") == "is right in 15 of 20 cases on test, the same answers in random order in 10.0"


def test_any_metric_is_compared_and_lower_may_be_better():
    """Of a distance, small ones are good: right answers are far below those in random order, opposite ones above."""

    def distances(answers, references):
        gap = np.abs(answers.values["x"] - references.values["x"])
        return np.stack([gap[references.known], np.ones(int(references.known.sum()))], axis=1)

    metric = Metric("distance", "lower", distances, lambda rows: float(rows[:, 0].mean()))
    judge = Judge({"distance": metric}, fidelity=unused, texts=unused)
    truth = np.arange(20.0)
    item = np.arange(20)
    asked = References({"x": truth}, item, item, np.arange(20) != 3)
    found = compared("distance", judge, Answers({"x": truth + 1}, item, item), asked)
    assert not found.at_chance
    assert found.figure == 1
    assert found.beside("test").startswith("has a distance of 1.0000 on test, the same answers in random order 6.")
    assert compared("distance", judge, Answers({"x": truth[::-1]}, item, item), asked).at_chance
    assert not against_chance(BALANCED, BALANCED, "f1_macro").at_chance


def test_an_example_changes_places_with_all_its_decisions():
    """Answers that are right within each example but for another of as many decisions are no better than chance."""
    example = np.repeat(np.arange(12), [1, 3] * 6)
    truth = example % 4 // 2
    for first in (0, 1):  # those of one decision, those of three
        places = positions(example, np.arange(first, 12, 4)), positions(example, np.arange(first + 2, 12, 4))
        swapped = truth.copy()
        swapped[places[0]], swapped[places[1]] = truth[places[1]], truth[places[0]]
        assert compared("accuracy", JUDGE, labelled(swapped, example), labelled(truth, example)).at_chance
    assert not compared("accuracy", JUDGE, labelled(truth, example), labelled(truth, example)).at_chance


def test_random_answers_pass_one_time_in_twenty():
    generator = np.random.default_rng(0)
    passed = [not against_chance(generator.integers(0, 4, 40), BALANCED).at_chance for _ in range(100)]
    assert sum(passed) <= 12
