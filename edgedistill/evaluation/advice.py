"""Suggestions for a distilled student that is not better than its control, each with the figure behind it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedistill.arrays import Floats
from edgedistill.contracts.metric import Metric, signed
from edgedistill.evaluation.statistics import log_softmax


@dataclass(frozen=True)
class RoundFigures:
    """Facts about a round without a gain; all values of the metric are on validation."""

    metric: Metric
    teacher_metric: float
    control_metric: float
    temperature: float | None
    """Temperature of its first loss on soft targets; None without one."""
    teacher_logits: Floats | None
    """(R, C) the teacher's logits on the training data."""
    metrics: Sequence[float]
    """After each epoch of the last stage."""
    noise: float
    """Half the 95% interval of the student's metric; smaller differences between epochs are treated as noise.
    Conservative, since epochs are measured on the same examples."""


HARD, FLAT = 0.98, 0.5
"""Mean top-class probability of the teacher above which soft targets are hardly more informative than labels, and below
which they carry little information."""


def remedies(found: RoundFigures) -> list[str]:
    """Sentences, the most likely cause first; empty without any indication."""
    said = []
    if not found.metric.better(found.teacher_metric, found.control_metric):
        said.append(
            f"the teacher itself ({found.teacher_metric:.4f} on validation) is not better than the control "
            f"({found.control_metric:.4f}): fine-tune it for longer, or use a stronger one"
        )
    if found.temperature is not None and found.teacher_logits is not None:
        confidence = first_choice(found.teacher_logits, found.temperature)
        if confidence > HARD:
            said.append(
                f"at temperature {found.temperature:g} the teacher's top class has probability {confidence:.3f} on "
                "average, hardly more informative than the labels: raise the temperature, or also distil on "
                "unlabelled data"
            )
        elif confidence < FLAT:
            said.append(
                f"at temperature {found.temperature:g} the teacher's top class has probability only {confidence:.3f} "
                "on average: lower the temperature"
            )
    said += _of_epochs(found.metric, found.metrics, found.noise)
    return said


def _of_epochs(metric: Metric, metrics: Sequence[float], noise: float) -> list[str]:
    """Suggestions from the learning curve, if it changed by more than noise."""
    if len(metrics) < 2:
        return []
    best = max(range(len(metrics)), key=lambda epoch: (signed(metrics[epoch], metric.direction), epoch))
    if best == len(metrics) - 1 and metric.gain(metrics[-1], metrics[-2]) > noise:
        return [
            f"the metric still improved in the last epoch ({metrics[-2]:.4f} to {metrics[-1]:.4f}): "
            "train for more epochs or raise the learning rate"
        ]
    if len(metrics) > 3 and best < len(metrics) // 3 and metric.gain(metrics[best], metrics[-1]) > noise:
        return [
            f"the best epoch was {best + 1} of {len(metrics)} ({metrics[best]:.4f}, final {metrics[-1]:.4f}): "
            "lower the learning rate, or train for fewer epochs"
        ]
    return []


def first_choice(logits: Floats, temperature: float) -> float:
    """Mean probability of the largest logit at a temperature."""
    return float(np.exp(log_softmax(np.asarray(logits) / temperature)).max(axis=1).mean())
