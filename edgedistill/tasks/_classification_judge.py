"""Evaluates classifiers: metrics, fidelity, errors, confidence. Numpy only.

Answers are `logits` (D, C); references `class` (D,) int64, -1 where unknown. Both are accepted wherever a model's
decisions are needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgedistill.arrays import Booleans, Floats, Integers
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.judge import Confidence, ErrorKind, Fidelity, Judge
from edgedistill.contracts.metric import Metric
from edgedistill.errors import EdgedistillError

LOGITS, CLASS = "logits", "class"
_BINS = 15


def decided(answers: Answers) -> Integers:
    """(D,) the predicted class of each answer."""
    if CLASS in answers.values:
        return answers.values[CLASS]  # type: ignore[return-value]
    return np.asarray(answers.values[LOGITS]).argmax(axis=1)


def logits_of(answers: Answers) -> Floats:
    """(D, C)."""
    return np.asarray(answers.values[LOGITS])


def right(answers: Answers, references: References) -> Booleans:
    """(D,) whether each decision equals the label."""
    return np.asarray(references.known & (decided(answers) == references.values[CLASS]))


def as_references(answers: Answers) -> References:
    """The predicted classes as labels."""
    known = np.ones(len(answers), np.bool_)
    return References({CLASS: decided(answers)}, answers.item, answers.example, known)


def accuracy_statistics(answers: Answers, references: References) -> Floats:
    """(E, 2) number of right and of all decisions of each example."""
    rows = _row_of(references)
    count = len(references.examples)
    hits = right(answers, references)[references.known]
    return np.stack([np.bincount(rows, hits, count), np.bincount(rows, minlength=count)], axis=1).astype(np.float64)


def accuracy(rows: Floats) -> float:
    """Share of right decisions."""
    hits, asked = rows.sum(axis=0)
    return float(hits / asked)


def f1_statistics(answers: Answers, references: References) -> Floats:
    """(E, 2C) for each class, its number of right decisions, then the number of decisions plus labels of that class."""
    rows, known = _row_of(references), references.known
    said, labels = decided(answers)[known], references.values[CLASS].astype(np.int64)[known]
    classes = int(max(said.max(initial=-1), labels.max(initial=-1))) + 1
    if LOGITS in answers.values:
        classes = max(classes, logits_of(answers).shape[1])
    found = np.zeros((len(references.examples), 2 * classes))
    np.add.at(found, (rows[said == labels], said[said == labels]), 1)
    np.add.at(found, (rows, classes + said), 1)
    np.add.at(found, (rows, classes + labels), 1)
    return found


def f1_macro(rows: Floats) -> float:
    """Unweighted mean F1 over the classes that occur."""
    hits, shown = np.split(rows.sum(axis=0), 2)
    occurs = shown > 0
    return float(np.mean(2 * hits[occurs] / shown[occurs]))


def fidelity(reference: Answers, device: Answers) -> Fidelity:
    """Agreement of decisions, KL(reference || device) in nats, largest difference of a logit.

    Raises:
        EdgedistillError: different shapes, or NaN or infinite logits.
    """
    expected, given = logits_of(reference), logits_of(device)
    if expected.shape != given.shape:
        raise EdgedistillError(f"the exported file returns {given.shape} logits, its PyTorch model {expected.shape}")
    if not np.isfinite(given).all():
        raise EdgedistillError(f"the exported file returns {int((~np.isfinite(given)).sum())} NaN or infinite logits")
    return Fidelity(
        agree=decided(reference) == decided(device),
        divergence=kl_divergence(expected, given),
        difference=np.abs(given - expected).max(axis=1),
    )


def error_weights(answers: Answers, references: References, kind: ErrorKind, strength: float) -> Floats:
    """(D,) weights that grow with a model's errors; 0 where there is no label.

    `focal`: (1 - p(label)) ** strength (Lin et al. 2017, eq. 4). `boost`: `strength` where the decision is wrong, 1
    where it is right (AdaBoost's reweighting, Freund & Schapire 1997, with a given factor instead of the one for weak
    learners).
    """
    known = references.known
    labels = np.asarray(references.values[CLASS])[known]
    weights = np.zeros(len(references))
    if kind == "focal":
        log_probability = log_softmax(logits_of(answers)[known])[np.arange(len(labels)), labels]
        weights[known] = np.maximum(-np.expm1(log_probability), 0) ** strength
    else:
        weights[known] = np.where(decided(answers)[known] == labels, 1.0, strength)
    return weights


def texts(answers: Answers, names: Sequence[str]) -> list[str]:
    """The names of the predicted classes; "" where unknown."""
    return [names[number] if number >= 0 else "" for number in decided(answers).tolist()]


def confidence(answers: Answers) -> Floats:
    """(D,) log-probability of the decision."""
    return np.asarray(log_softmax(logits_of(answers)).max(axis=1))


def calibration_error(answers: Answers, references: References) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3): the gap between confidence and accuracy, 0 to 1."""
    known = references.known
    sure, hits = np.exp(confidence(answers))[known], right(answers, references)[known]
    places = np.minimum((sure * _BINS).astype(np.int64), _BINS - 1)
    counts = np.bincount(places, minlength=_BINS)
    gaps = np.abs(np.bincount(places, hits, _BINS) - np.bincount(places, sure, _BINS))
    return float(gaps.sum() / counts.sum())


def log_softmax(logits: Floats) -> Floats:
    """Row-wise log-probabilities in float64."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def kl_divergence(p_logits: Floats, q_logits: Floats) -> Floats:
    """(D,) KL(p || q) of each decision, in nats."""
    p, q = log_softmax(p_logits), log_softmax(q_logits)
    result: Floats = np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0.0)
    return result


def _row_of(references: References) -> Integers:
    """Each known decision's row in the statistics."""
    return np.searchsorted(references.examples, references.example[references.known])


METRICS = {
    "accuracy": Metric("accuracy", "higher", accuracy_statistics, accuracy, shares=True),
    "f1_macro": Metric("f1_macro", "higher", f1_statistics, f1_macro),
}


def misfit(answers: Answers, labels: Sequence[str]) -> str | None:
    """Whether there is one logit for each label."""
    count = logits_of(answers).shape[1]
    return (
        None if count == len(labels) else f"{count} logits per item, expected one for each of its {len(labels)} labels"
    )


JUDGE = Judge(
    metrics=METRICS,
    fidelity=fidelity,
    texts=texts,
    right=right,
    error_weights=error_weights,
    as_references=as_references,
    confidence=Confidence(of=confidence, calibration_error=calibration_error),
    misfit=misfit,
)
