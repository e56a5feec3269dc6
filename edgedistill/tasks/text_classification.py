"""Text classification: one label a text (or pair of texts)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgedistill.arrays import Floats, Integers
from edgedistill.class_order import ordered
from edgedistill.contracts.task import AutoClass
from edgedistill.interfaces import Batch, Columns, Metric
from edgedistill.row_problems import shown
from edgedistill.text_cut import cut, reads_word_by_word

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from edgedistill.recipe import Architecture

VERSION = 2
COLUMNS = Columns(required=("text",), labels="label", optional=("text_pair",))
TEXTS = ("text", "text_pair")
TOKENS = True


def correct(decisions: Integers, references: Integers) -> Floats:
    """1.0 where the decision is right, else 0.0."""
    return (decisions == references).astype(np.float64)


def accuracy(decisions: Integers, references: Integers) -> float:
    """Share of right decisions."""
    return float(correct(decisions, references).mean())


def f1_macro(decisions: Integers, references: Integers) -> float:
    """Unweighted mean over the classes that occur of the harmonic mean of precision and recall."""
    classes = np.union1d(decisions, references)
    hits = np.array([np.sum((decisions == c) & (references == c)) for c in classes], dtype=np.float64)
    shown = np.array([np.sum(decisions == c) + np.sum(references == c) for c in classes], dtype=np.float64)
    return float(np.mean(2 * hits / shown))


METRICS: Mapping[str, Metric] = {"accuracy": Metric(accuracy, correct), "f1_macro": Metric(f1_macro)}


def auto_class() -> AutoClass:
    """`AutoModelForSequenceClassification`."""
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification  # type: ignore[no-any-return,unused-ignore]


def scratch_config(
    architecture: Architecture, vocabulary: int, length: int, labels: Mapping[str, object]
) -> PreTrainedConfig:
    """A BERT of that size."""
    from edgedistill.models import bert_config

    return bert_config(architecture, vocabulary, length, labels)


def problem_in(row: Mapping[str, object], columns: Mapping[str, str], labelled: bool) -> str | None:
    """What is wrong with a raw row, or None."""
    for key in ("text", "text_pair"):
        if key not in columns:
            continue
        value = row.get(columns[key])
        if not isinstance(value, str):
            return f"'{columns[key]}' is {shown(value)}, expected text"
        if not value.strip():
            return f"'{columns[key]}' is empty, expected text"
    if labelled:
        label = row.get(columns["label"])
        if isinstance(label, bool) or not isinstance(label, str | int) or label == "":
            return f"'{columns['label']}' is {shown(label)}, expected a label name or number"
        if str(label) == "-1":
            return f"'{columns['label']}' is -1, which stands for no label; expected a class, or a name in data.labels"
    return None


def label_names(rows: Dataset, columns: Mapping[str, str]) -> list[str]:
    """Names of a `ClassLabel` column, or the distinct labels in order (whole numbers by value)."""
    feature = rows.features[columns["label"]]
    if hasattr(feature, "names"):
        return list(feature.names)
    return ordered(str(label) for label in rows[columns["label"]])


def encode(
    rows: Mapping[str, Sequence[object]],
    columns: Mapping[str, str],
    tokenizer: PreTrainedTokenizerBase | None,
    label_ids: Mapping[str, int],
    max_length: int,
) -> dict[str, list[object]]:
    """Token ids of each text (pair) and its label id; -100 for a row without a label."""
    assert tokenizer is not None, "text tasks have a tokenizer"
    texts = [list(rows[columns[key]]) for key in ("text", "text_pair") if key in columns]
    if len(texts) == 1 and reads_word_by_word(tokenizer):
        texts = [[cut(str(text), max_length) for text in texts[0]]]
    encoded = dict(tokenizer(*texts, truncation=True, max_length=max_length))
    labels = rows.get(columns["label"]) or [None] * len(texts[0])
    encoded["labels"] = [-100 if label is None else label_ids[str(label)] for label in labels]
    return encoded


def rows(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """A classifier's logits are rows already: (B, C)."""
    return logits


def references(batch: Batch) -> torch.Tensor:
    """(B,) label ids."""
    return batch["labels"]


def row_counts(batch: Batch) -> torch.Tensor:
    """One row an item."""
    import torch

    return torch.ones(len(batch["labels"]), dtype=torch.long)


def device_rows(outputs: Sequence[NDArray[np.generic]], batch: Mapping[str, NDArray[np.generic]]) -> Floats:
    """The file's first output, (B, C)."""
    return np.asarray(outputs[0], dtype=np.float32)


def show(row: Mapping[str, object], columns: Mapping[str, str]) -> str:
    """The text, or the two texts of a pair."""
    return " | ".join(str(row[columns[key]]) for key in ("text", "text_pair") if key in columns)
