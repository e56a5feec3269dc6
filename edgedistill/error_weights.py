"""How much each item counts in a stage that corrects a predecessor's errors. Pure.

N items of one row each, C classes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from .interfaces import Floats, Integers

Kind = Literal["focal", "boost"]


def error_weights(logits_NC: Floats, targets_N: Integers, kind: Kind, strength: float) -> Floats:  # noqa: N803
    """(N,) float32 weights with mean 1 over the items that have a target; items without one (-100) count 1.

    `focal`: (1 - p(target)) ** strength, which grows with the predecessor's doubt (Lin et al. 2017, eq. 4).
    `boost`: `strength` where the predecessor is wrong, 1 where it is right (the reweighting of AdaBoost, Freund &
    Schapire 1997, with a given factor in place of the one that assumes weak learners).
    """
    known = targets_N != -100
    weights = np.ones(len(targets_N), dtype=np.float64)
    logits, targets = np.asarray(logits_NC, dtype=np.float64)[known], targets_N[known]
    if not len(targets):
        return weights.astype(np.float32)
    if kind == "focal":
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probability = shifted[np.arange(len(targets)), targets] - np.log(np.exp(shifted).sum(axis=1))
        raw = -np.expm1(log_probability)
        raw = np.maximum(raw, 0) ** strength
    else:
        raw = np.where(logits.argmax(axis=1) == targets, 1.0, strength)
    mean = raw.mean()
    weights[known] = raw / mean if mean > 0 else 1.0
    return weights.astype(np.float32)


def teacher_trust(teacher_logits_NC: Floats, labels_N: Integers, weight: float) -> Floats:  # noqa: N803
    """(N,) float32: `weight` where the teacher contradicts the label, 1 elsewhere and where there is no label."""
    wrong = (labels_N != -100) & (np.asarray(teacher_logits_NC).argmax(axis=1) != labels_N)
    return np.where(wrong, weight, 1.0).astype(np.float32)
