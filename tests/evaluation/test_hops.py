"""From one model to the next: which decisions turned, and what that cost."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.metric import Metric
from edgedistill.evaluation.figures import Judging
from edgedistill.evaluation.hops import OnTest, change

JUDGE = registry.task("text-classification").judge(registry.task_as("text-classification", "accuracy", {}))
JUDGING = Judging(JUDGE, ("accuracy",))
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, -1])
KNOWN = References({"class": LABELS}, np.arange(8), np.arange(8), LABELS >= 0)


def on_test(name: str, said: list[int], decisions: str = "teacher") -> OnTest:
    return OnTest(name, Answers({"logits": np.eye(3)[said]}, np.arange(8), np.arange(8)), KNOWN, decisions)


BEFORE = on_test("teacher", [0, 1, 2, 0, 0, 0, 0, 1])
AFTER = on_test("r1", [0, 2, 1, 0, 1, 0, 0, 2])


def test_decisions_that_turned_are_told_apart_and_unlabelled_ones_left_out():
    found = change(JUDGING, BEFORE, AFTER)
    assert found.lost is not None
    assert found.won is not None
    assert (found.lost.tolist(), found.won.tolist()) == ([1, 2], [4])
    assert found.agreement == pytest.approx(4 / 7)
    assert found.drop.value == pytest.approx(1 / 7)
    assert found.drop.split == "test"


def test_the_way_back_is_the_same_with_its_sign_turned():
    there, back = change(JUDGING, BEFORE, AFTER), change(JUDGING, AFTER, BEFORE)
    assert back.drop.value == -there.drop.value
    assert there.lost is not None
    assert back.won is not None
    assert back.won.tolist() == there.lost.tolist()


def test_a_rise_of_a_metric_that_is_lower_is_better_is_a_positive_drop():
    accuracy = JUDGE.metrics["accuracy"]
    errors = Metric("errors", "lower", accuracy.statistics, lambda rows: 1 - accuracy.figure(rows))
    judging = Judging(dataclasses.replace(JUDGE, metrics={"errors": errors}), ("errors",))
    found = change(judging, BEFORE, AFTER)
    assert found.drop.value == pytest.approx(1 / 7)
    assert (found.drop.low, found.drop.high) == (
        change(JUDGING, BEFORE, AFTER).drop.low,
        change(JUDGING, BEFORE, AFTER).drop.high,
    )


def test_other_decisions_are_compared_by_their_metric_alone():
    found = change(JUDGING, BEFORE, dataclasses.replace(AFTER, decisions="r1"))
    assert (found.agreement, found.lost, found.won) == (None, None, None)
    assert found.drop.value == pytest.approx(1 / 7)


def test_a_task_without_right_answers_has_no_turned_decisions():
    judging = Judging(dataclasses.replace(JUDGE, right=None), ("accuracy",))
    found = change(judging, BEFORE, AFTER)
    assert (found.lost, found.won) == (None, None)
    assert found.agreement == pytest.approx(4 / 7)
