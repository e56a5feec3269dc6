"""How much each item counts in a stage that corrects a predecessor's errors, and how far its teacher is trusted. Pure.

N items with R rows (decisions) together, C classes. `item_R` is the item that each row belongs to, so that an item may
have any number of rows: one for a text classifier, one per word for a tagger.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from .arrays import Floats, Integers

Kind = Literal["focal", "boost"]


def error_weights(
    logits_RC: Floats,  # noqa: N803
    targets_R: Integers,  # noqa: N803
    item_R: Integers,  # noqa: N803
    items: int,
    kind: Kind,
    strength: float,
) -> Floats:
    """(N,) float32 weights with mean 1 over the items that have a target; items without any (-100) count 1.

    An item's raw weight is the mean over its rows that have a target.

    `focal`: (1 - p(target)) ** strength, which grows with the predecessor's doubt (Lin et al. 2017, eq. 4).
    `boost`: `strength` where the predecessor is wrong, 1 where it is right (the reweighting of AdaBoost, Freund &
    Schapire 1997, with a given factor in place of the one that assumes weak learners).
    """
    known = targets_R != -100
    weights = np.ones(items, dtype=np.float64)
    logits, targets = np.asarray(logits_RC, dtype=np.float64)[known], targets_R[known]
    if not len(targets):
        return weights.astype(np.float32)
    if kind == "focal":
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probability = shifted[np.arange(len(targets)), targets] - np.log(np.exp(shifted).sum(axis=1))
        raw = -np.expm1(log_probability)
        raw = np.maximum(raw, 0) ** strength
    else:
        raw = np.where(logits.argmax(axis=1) == targets, 1.0, strength)
    owners = item_R[known]
    rows = np.bincount(owners, minlength=items)
    judged = rows > 0
    by_item = np.bincount(owners, weights=raw, minlength=items)[judged] / rows[judged]
    mean = by_item.mean()
    weights[judged] = by_item / mean if mean > 0 else 1.0
    return weights.astype(np.float32)


def teacher_trust(teacher_logits_RC: Floats, labels_R: Integers, weight: float) -> Floats:  # noqa: N803
    """(R,) float32: `weight` where the teacher contradicts the label, 1 elsewhere and where there is no label."""
    wrong = (labels_R != -100) & (np.asarray(teacher_logits_RC).argmax(axis=1) != labels_R)
    return np.where(wrong, weight, 1.0).astype(np.float32)
