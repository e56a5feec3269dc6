"""A task's judge, and answers in the form that it reads, of tasks that choose among classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import plugins
from .arrays import Booleans, Floats, Integers
from .contracts.answers import Answers, References
from .contracts.judge import Confidence, Fidelity, Judge
from .contracts.metric import Metric
from .statistics import calibration_error, kl_divergence, log_softmax

if TYPE_CHECKING:
    from .interfaces import Rows
    from .ragged import Ragged


def judge_of(task: str) -> Judge:
    """The judge of a task, by its name."""
    return Judge(
        metrics={name: _METRICS[name] for name in plugins.find("tasks", task).METRICS},
        fidelity=_fidelity,
        texts=_texts,
        right=_right,
        as_references=_as_references,
        confidence=Confidence(of=_confidence, calibration_error=_calibration),
    )


def answers_of(rows: Rows) -> Answers:
    """Rows of logits, one a decision, as answers."""
    item = np.repeat(np.arange(len(rows)), np.diff(rows.offsets))
    return Answers({"logits": np.asarray(rows.values)}, item, item)


def references_of(task: str, tokens: Ragged) -> References:
    """The right answers of a split."""
    from .inference import references, to_batch

    module = plugins.find("tasks", task)
    labels = references(module, tokens)
    counts = [int(module.row_counts(to_batch(tokens, [i])).sum()) for i in range(len(tokens))]
    item = np.repeat(np.arange(len(tokens)), counts)
    return References({"label": labels}, item, item, known=labels != -100)


def published_references(file: Path) -> References:
    """Those beside a run's predictions."""
    labels = np.array(json.loads(file.read_text(encoding="utf-8"))["labels"], dtype=np.int64)
    item = np.arange(len(labels))
    return References({"label": labels}, item, item, known=labels != -100)


def _right(answers: Answers, references: References) -> Booleans:
    return np.asarray(references.known & (_decided(answers) == references.values["label"]))


def _logits(answers: Answers) -> Floats:
    return np.asarray(answers.values["logits"], dtype=np.float32)


def _decided(answers: Answers) -> Integers:
    ids: Integers = (
        answers.values["label"]  # type: ignore[assignment]
        if "label" in answers.values
        else np.asarray(answers.values["logits"]).argmax(axis=1)
    )
    return ids


def _as_references(answers: Answers) -> References:
    known = np.ones(len(answers), np.bool_)
    return References({"label": _decided(answers)}, answers.item, answers.example, known)


def _by_example(values: Floats, references: References) -> Floats:
    place = np.searchsorted(references.examples, references.example[references.known])
    return np.bincount(place, values[references.known], len(references.examples)).astype(np.float64)


def _accuracy(answers: Answers, references: References) -> Floats:
    right = _right(answers, references).astype(np.float64)
    return np.stack([_by_example(right, references), _by_example(np.ones(len(right)), references)], axis=1)


def _f1(answers: Answers, references: References) -> Floats:
    """Per class: hits, and how often it was said or right."""
    logits = np.asarray(answers.values["logits"])
    said, label = logits.argmax(axis=1), references.values["label"]
    classes = max(logits.shape[1], int(np.max(label, initial=0)) + 1)
    columns = [((said == c) & (label == c)).astype(np.float64) for c in range(classes)]
    columns += [(said == c).astype(np.float64) + (label == c) for c in range(classes)]
    return np.stack([_by_example(column, references) for column in columns], axis=1)


def _f1_of(rows: Floats) -> float:
    hits, shown = np.split(rows.sum(axis=0), 2)
    occurs = shown > 0
    return float(np.mean(2 * hits[occurs] / shown[occurs]))


def _share(rows: Floats) -> float:
    return float(rows[:, 0].sum() / rows[:, 1].sum())


_METRICS = {
    "accuracy": Metric("accuracy", "higher", _accuracy, _share, shares=True),
    "f1_macro": Metric("f1_macro", "higher", _f1, _f1_of),
}


def _fidelity(reference: Answers, device: Answers) -> Fidelity:
    a, b = (np.asarray(each.values["logits"], dtype=np.float64) for each in (reference, device))
    return Fidelity(a.argmax(axis=1) == b.argmax(axis=1), kl_divergence(a, b), np.abs(a - b).max(axis=1))


def _texts(answers: Answers, names: Sequence[str]) -> list[str]:
    return [names[each] if each >= 0 else "" for each in _decided(answers)]


def _confidence(answers: Answers) -> Floats:
    maximum: Floats = log_softmax(_logits(answers)).max(axis=1)
    return maximum


def _calibration(answers: Answers, references: References) -> float:
    known = references.known
    return calibration_error(_logits(answers)[known], references.values["label"][known])  # type: ignore[arg-type]
