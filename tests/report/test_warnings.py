"""What is said before the figures."""

from __future__ import annotations

from edgedistill.evaluation.chance import AgainstChance
from edgedistill.report.warnings import chance_warnings


def test_models_that_know_nothing_of_the_labels_are_named_with_their_figures():
    found = {
        "teacher": AgainstChance("accuracy", 30 / 36, 6.0 / 36, 0.0005, 36),
        "r1": AgainstChance("accuracy", 7 / 36, 6.1 / 36, 0.4, 36),
    }
    assert chance_warnings(found) == [
        "r1 is no better than chance: it is right in 7 of 36 cases on test, the same answers in random order in 6.1."
    ]
