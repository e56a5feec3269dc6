from __future__ import annotations

import numpy as np
import pytest

from edgedistill import chance
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.judge import Judge

JUDGE = Judge(
    metrics={},
    fidelity=lambda reference, device: pytest.fail("not asked"),
    texts=lambda answers, names: pytest.fail("not asked"),
    right=lambda answers, references: answers.values["class"] == references.values["class"],
)
BALANCED = np.repeat(np.arange(4), 10)


def against_chance(decisions, references, known=None):
    item = np.arange(len(references))
    known = np.ones(len(references), bool) if known is None else known
    right = References({"class": references}, item, item, known)
    return chance.against_chance(JUDGE, Answers({"class": decisions}, item, item), right)


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
    found = against_chance(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    assert (found.right, found.decisions) == (3, 4)
    assert found.expected == pytest.approx((2 * 3 + 2 * 1) / 4, abs=0.05)


def test_random_answers_pass_one_time_in_twenty():
    generator = np.random.default_rng(0)
    passed = [not against_chance(generator.integers(0, 4, 40), BALANCED).at_chance for _ in range(100)]
    assert sum(passed) <= 12


def test_what_has_no_right_answer_does_not_count():
    labels = np.where(np.arange(40) < 20, BALANCED, -1)
    found = against_chance(BALANCED, labels, labels >= 0)
    assert (found.right, found.decisions) == (20, 20)
