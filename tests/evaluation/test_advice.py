from __future__ import annotations

import numpy as np
from evaluation.test_statistics import ACCURACY, turned

from edgedistill.evaluation.advice import RoundFigures, remedies


def figures(**change: object) -> RoundFigures:
    # At temperature 2 the first choice of these logits has probability 0.84.
    plain = {
        "metric": ACCURACY,
        "teacher_metric": 0.95,
        "control_metric": 0.90,
        "temperature": 2.0,
        "teacher_logits": np.array([[4.0, 0.0, 0.0]] * 3) + np.array([[0.7, 0, 0]]),
        "metrics": [0.5, 0.6, 0.7, 0.69],
        "noise": 0.022,
    }
    return RoundFigures(**(plain | change))


def test_nothing_is_said_without_a_figure_that_points_somewhere():
    assert remedies(figures()) == []


def test_a_teacher_no_better_than_the_control():
    (said,) = remedies(figures(teacher_metric=0.89))
    assert "(0.8900 on validation) is not better than the control (0.9000): fine-tune it" in said


def test_a_temperature_that_makes_the_targets_hard_or_flat():
    (hard,) = remedies(figures(teacher_logits=np.array([[20.0, 0.0]])))
    assert "probability 1.000 on average" in hard
    assert "raise the temperature" in hard
    (flat,) = remedies(figures(teacher_logits=np.array([[0.1, 0.0, 0.0]])))
    assert "lower the temperature" in flat
    assert remedies(figures(temperature=None, teacher_logits=None)) == []


def test_a_metric_that_still_rises_or_peaked_at_once():
    (rising,) = remedies(figures(metrics=[0.5, 0.6, 0.7]))
    assert "still improved in the last epoch (0.6000 to 0.7000)" in rising
    (early,) = remedies(figures(metrics=[0.7, 0.6, 0.6, 0.6, 0.6]))
    assert "the best epoch was 1 of 5 (0.7000, final 0.6000)" in early


def test_a_difference_within_the_noise_of_the_validation_set_is_no_advice():
    tie = [0.5, 0.93, 0.9, 0.91, 0.92, 0.93]
    assert remedies(figures(metrics=tie)) == []
    nearly = [0.5, 0.93, 0.9, 0.91, 0.92, 0.928]
    assert remedies(figures(metrics=nearly)) == []
    assert len(remedies(figures(metrics=[0.93, 0.92, 0.9, 0.9, 0.9, 0.9]))) == 1
    assert remedies(figures(metrics=[0.93, 0.92, 0.9, 0.9, 0.9, 0.9], noise=0.06)) == []
    assert remedies(figures(metrics=[0.9, 0.91, 0.915])) == []
    assert len(remedies(figures(metrics=[0.9, 0.91, 0.915], noise=0.004))) == 1


def test_a_metric_that_is_lower_is_better_gets_the_same_advice():
    for metrics in ([0.5, 0.6, 0.7], [0.7, 0.6, 0.6, 0.6, 0.6], [0.5, 0.6, 0.7, 0.69]):
        plain = remedies(figures(metrics=metrics, teacher_metric=0.89))
        values = {"metrics": [-value for value in metrics], "teacher_metric": -0.89, "control_metric": -0.9}
        assert len(remedies(figures(metric=turned(ACCURACY), **values))) == len(plain) > 0
