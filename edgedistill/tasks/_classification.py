"""Shared parts of classifiers apart from their judge: labels, references, logits and loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Arrays, Floats
from edgedistill.contracts.answers import References
from edgedistill.contracts.items import Items
from edgedistill.contracts.label_order import ordered
from edgedistill.contracts.task import Tensors
from edgedistill.tasks._classification_judge import CLASS, LOGITS

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

LABELS = "labels"
"""The column of class ids."""
NONE = -100
"""The class id of an item without a label, which PyTorch's cross-entropy ignores."""
_SINGLE_LABEL = "single_label_classification"


def label_names(rows: Dataset, columns: Mapping[str, str]) -> list[str]:
    """Names of a `ClassLabel` column, or the distinct labels in order (whole numbers by value)."""
    feature = rows.features[columns["label"]]
    if hasattr(feature, "names"):
        return list(feature.names)
    return ordered(str(label) for label in rows[columns["label"]])


def label_column(labels: Sequence[object] | None, count: int, label_ids: Mapping[str, int]) -> list[int]:
    """Class ids of that many rows."""
    return [NONE if label is None else label_ids[str(label)] for label in labels or [None] * count]


def references(items: Items) -> References:
    """One decision per item: its class."""
    labels = np.asarray(items.values[LABELS], np.int64)
    known = labels != NONE
    return References({CLASS: np.where(known, labels, -1)}, np.arange(len(items)), items.example, known)


def configuration(labels: Sequence[str]) -> dict[str, object]:
    """Entries with the label names, for single-label classification."""
    return {
        "problem_type": _SINGLE_LABEL,
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
    }


def unsuitable(config: Mapping[str, object]) -> str | None:
    """Why a head is not single-label: independent scores (multi-label), or a number (regression)."""
    problem, labels = config.get("problem_type"), config.get("id2label")
    if problem not in (None, _SINGLE_LABEL):
        return f"a different type of head (problem_type {problem!r:.60} in its config.json), expected {_SINGLE_LABEL}"
    count = len(labels) if isinstance(labels, Mapping) else config.get("num_labels")
    if count == 1:
        return "a head with a single output (regression), expected one output per label"
    return None


def forward(model: PreTrainedModel, inputs: Tensors) -> Tensors:
    """`logits` (B, C)."""
    return {LOGITS: model(**inputs).logits}


def logits(outputs: Tensors, batch: Tensors) -> torch.Tensor:
    """(D, C): one decision per item."""
    return outputs[LOGITS]


def answers(outputs: Tensors, batch: Tensors) -> Tensors:
    """`logits` (D, C), unchanged."""
    return {LOGITS: outputs[LOGITS]}


def answers_of_logits(values: Floats) -> Arrays:
    """The same for recorded logits."""
    return {LOGITS: values}


def loss(outputs: Tensors, batch: Tensors, smoothing: float) -> torch.Tensor:
    """(D,) cross-entropy in nats, 0 without a label; label smoothing as in Szegedy et al. 2016, section 7."""
    from torch.nn import functional

    own = outputs[LOGITS]
    full = own.float() if own.element_size() < 4 else own  # a softmax over many classes is too inaccurate in 16 bits
    return functional.cross_entropy(full, batch[LABELS], ignore_index=NONE, label_smoothing=smoothing, reduction="none")
