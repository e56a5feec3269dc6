"""Weights of examples in a stage that corrects an earlier model's errors, and weights of its teacher. Pure."""

from __future__ import annotations

import numpy as np

from edgedistill.arrays import Booleans, Floats
from edgedistill.contracts.answers import References


def example_weights(raw: Floats, references: References, examples: int) -> Floats:
    """(E,) float32 weights with mean 1 over the examples with a known decision; 1 for the others.

    An example's raw weight is the mean over its known decisions.

    Args:
        raw: (D,) weights of the decisions from the task's judge.
        examples: number of examples, including any without decisions.
    """
    weights = np.ones(examples, dtype=np.float64)
    owners = references.example[references.known]
    if not len(owners):
        return weights.astype(np.float32)
    decisions = np.bincount(owners, minlength=examples)
    judged = decisions > 0
    by_example = np.bincount(owners, weights=raw[references.known], minlength=examples)[judged] / decisions[judged]
    mean = by_example.mean()
    weights[judged] = by_example / mean if mean > 0 else 1.0
    return weights.astype(np.float32)


def teacher_trust(right: Booleans, references: References, weight: float) -> Floats:
    """(D,) float32: `weight` where the teacher contradicts the right answer, 1 elsewhere.

    Args:
        right: (D,) which of the teacher's decisions are right.
    """
    return np.where(references.known & ~right, weight, 1.0).astype(np.float32)
