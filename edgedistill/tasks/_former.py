"""Metrics and rows by decision, for what isn't written on `Judge` and `Driver` yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgedistill.arrays import Floats, Integers
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.items import Items

if TYPE_CHECKING:
    from edgedistill.contracts.task import Task


@dataclass(frozen=True)
class Metric:
    """A task's metric, the higher the better; `per_row` gives each row's share where the figure is their mean."""

    score: Callable[[Integers, Integers], float]
    per_row: Callable[[Integers, Integers], Floats] | None = None


def _correct(decisions: Integers, references: Integers) -> Floats:
    return (decisions == references).astype(np.float64)


def _accuracy(decisions: Integers, references: Integers) -> float:
    return float(_correct(decisions, references).mean())


def _f1_macro(decisions: Integers, references: Integers) -> float:
    classes = np.union1d(decisions, references)
    hits = np.array([np.sum((decisions == c) & (references == c)) for c in classes], dtype=np.float64)
    shown = np.array([np.sum(decisions == c) + np.sum(references == c) for c in classes], dtype=np.float64)
    return float(np.mean(2 * hits / shown))


METRICS: Mapping[str, Metric] = {"accuracy": Metric(_accuracy, _correct), "f1_macro": Metric(_f1_macro)}


@dataclass(frozen=True)
class Rows:
    """Logits of a data split, one row a decision: `values` (R, C) float32, `offsets` (N + 1,) int64."""

    values: Floats
    offsets: Integers

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, items: Integers) -> Rows:
        """The rows of these items only, in that order."""
        lengths = np.diff(self.offsets)[items]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        starts = np.repeat(self.offsets[:-1][items] - offsets[:-1], lengths)
        return Rows(np.asarray(self.values)[starts + np.arange(offsets[-1])], offsets)


def save_rows(rows: Rows, file: Path) -> None:
    """Write rows as answers, one example per item."""
    item = np.repeat(np.arange(len(rows)), np.diff(rows.offsets))
    Answers({"logits": np.asarray(rows.values)}, item, item).save(file)


def load_rows(file: Path) -> Rows:
    """What `save_rows` wrote, or answers of logits, in which every item has a decision."""
    answers = Answers.open(file)
    counts = np.bincount(answers.item)
    return Rows(answers.values["logits"], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))  # type: ignore[arg-type]


def references(task: Task, items: Items) -> Integers:
    """(R,) label ids of a split's rows, -100 where there is none."""
    found = task.data.references(items)
    return np.where(found.known, found.values["class"], -100)


def score(metric: str, rows: Rows, labels: Integers) -> float:
    """The metric over the labelled rows."""
    kept = labels != -100
    return METRICS[metric].score(np.asarray(rows.values).argmax(axis=1)[kept], labels[kept])


def device_rows(outputs: Sequence[NDArray[np.generic]], batch: Mapping[str, NDArray[np.generic]]) -> Floats:
    """The file's first output, (B, C)."""
    return np.asarray(outputs[0], dtype=np.float32)
