"""Evaluates language models: metrics, fidelity, chance. Numpy only.

Answers are `log_p` (D,) of the right token, `ids` and `log_ps` (D, K) of the most likely tokens; references are `token`
and `next_bytes` (D,).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgedistill.arrays import Floats, Integers
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.judge import Fidelity, Judge
from edgedistill.contracts.metric import Metric
from edgedistill.errors import EdgedistillError
from edgedistill.tasks._language_device import IDS, LOG_P, LOG_PS
from edgedistill.tasks._language_items import BYTES, TOKEN
from edgedistill.tasks._language_probe import CHECK_WORDS, DEMANDS, checks


def per_byte_statistics(answers: Answers, references: References) -> Floats:
    """(E, 2) bits and bytes of each example's tokens."""
    bits = -_log_p(answers) / np.log(2)
    return _sums(references, bits, np.asarray(references.values[BYTES], np.int64))


def per_token_statistics(answers: Answers, references: References) -> Floats:
    """(E, 2) nats and number of each example's tokens."""
    return _sums(references, -_log_p(answers), np.ones(len(references)))


def accuracy_statistics(answers: Answers, references: References) -> Floats:
    """(E, 2) number of right and of all decisions of each example."""
    return _sums(references, decided(answers) == references.values[TOKEN], np.ones(len(references)))


def _log_p(answers: Answers) -> Floats:
    return np.asarray(answers.values[LOG_P], np.float64)


def _sums(references: References, *values: Floats | Integers) -> Floats:
    """(E, K) by example."""
    rows = np.searchsorted(references.examples, references.example)
    count = len(references.examples)
    return np.stack([np.bincount(rows, np.asarray(column, np.float64), count) for column in values], axis=1)


def ratio(rows: Floats) -> float:
    """The ratio of the two sums."""
    first, second = rows.sum(axis=0)
    return float(first / second) if second else float("nan")


def perplexity(rows: Floats) -> float:
    """exp of the mean nats per token."""
    return float(np.exp(ratio(rows)))


def decided(answers: Answers) -> Integers:
    """(D,) the most likely token."""
    return np.asarray(answers.values[IDS], np.int64)[:, 0]


def fidelity(reference: Answers, device: Answers) -> Fidelity:
    """Agreement of the most likely token; KL(reference || device) in nats; largest difference of a log-probability.

    Tokens that both keep are compared one by one, and all others as one class: a lower bound of the divergence of the
    full distributions (data processing inequality; Cover & Thomas 2006, section 2.8). Differences are over the right
    token and the tokens that both keep.

    Raises:
        EdgedistillError: different decisions, NaN or infinity.
    """
    if reference.values[IDS].shape != device.values[IDS].shape:
        shapes = (reference.values[IDS].shape, device.values[IDS].shape)
        raise EdgedistillError(
            f"the exported file returns {shapes[1]} most likely tokens, its PyTorch model {shapes[0]}"
        )
    if not all(np.isfinite(device.values[name]).all() for name in (LOG_P, LOG_PS)):
        raise EdgedistillError("the exported file returns NaN or infinite log-probabilities")
    divergence, difference = _over_shared(reference, device)
    of_right = np.abs(_log_p(reference) - _log_p(device))
    return Fidelity(
        agree=decided(reference) == decided(device),
        divergence=divergence,
        difference=np.maximum(difference, of_right),
    )


def _over_shared(reference: Answers, device: Answers) -> tuple[Floats, Floats]:
    """(D,) the divergence over the tokens that both keep and the rest, and the largest difference among the tokens."""
    count, kept = reference.values[IDS].shape
    own, other = np.asarray(reference.values[IDS]), np.asarray(device.values[IDS])
    p = np.zeros((count, kept))
    q = np.zeros((count, kept))
    for place in range(kept):
        same = other == own[:, place, None]
        there = same.any(axis=1)
        p[there, place] = np.asarray(reference.values[LOG_PS], np.float64)[there, place]
        q[there, place] = np.asarray(device.values[LOG_PS], np.float64)[same]
        p[~there, place] = q[~there, place] = -np.inf
    shared = np.isfinite(p)
    p_all, q_all = np.exp(p).sum(axis=1), np.exp(q).sum(axis=1)
    gap = np.where(shared, p, 0) - np.where(shared, q, 0)
    divergence = (np.exp(p) * gap).sum(axis=1)
    rest_p, rest_q = np.clip(1 - p_all, 0, 1), np.clip(1 - q_all, 1e-12, 1)
    divergence += np.where(rest_p > 0, rest_p * np.log(np.maximum(rest_p, 1e-12) / rest_q), 0)
    return np.maximum(divergence, 0), np.abs(gap).max(axis=1, initial=0)


def texts(answers: Answers, names: Sequence[str]) -> list[str]:
    """Token numbers, since the tokenizer with their names is not available."""
    tokens = decided(answers) if IDS in answers.values else np.asarray(answers.values[TOKEN])
    return [f"token {token}" for token in tokens.tolist()]


def guess(references: References) -> Answers:
    """Answers that treat all occurring tokens as equally likely everywhere."""
    tokens = np.unique(references.values[TOKEN])
    count = len(references)
    log_p = np.full(count, -np.log(max(len(tokens), 1)), np.float32)
    first = np.full((count, 1), tokens[0] if len(tokens) else 0, np.int32)
    return Answers({LOG_P: log_p, IDS: first, LOG_PS: log_p[:, None]}, references.item, references.example)


def size_of(references: References) -> Floats:
    """(E,) bytes of target text in each document."""
    return _sums(references, np.asarray(references.values[BYTES], np.int64))[:, 0]


METRICS = {
    "bits_per_byte": Metric("bits_per_byte", "lower", per_byte_statistics, ratio),
    "perplexity": Metric("perplexity", "lower", per_token_statistics, perplexity),
    "next_token_accuracy": Metric("next_token_accuracy", "higher", accuracy_statistics, ratio, shares=True),
}
JUDGE = Judge(
    metrics=METRICS,
    fidelity=fidelity,
    texts=texts,
    guess=guess,
    checks=checks,
    check_words=CHECK_WORDS,
    demands=DEMANDS,
    lists_flips=False,
    decision="next token",
    divergence="KL from PyTorch, nats",
    size_of=size_of,
    size_unit="bytes",
)
