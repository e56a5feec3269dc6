"""Chooses the next token from logits, greedily or by sampling. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgedistill.arrays import Floats, Integers
from edgedistill.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """Sampling settings.

    Args:
        temperature: divisor of the logits before sampling; 0 is greedy.
        top_k: sample from this many most likely tokens; 0: all.
        top_p: sample from the most likely tokens with this total probability, after top_k (nucleus sampling, Holtzman
            et al. 2020, section 3.1).
        seed: random seed; each text of a batch is sampled independently of the others.

    Raises:
        UserError: an invalid value.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"the temperature is {self.temperature}, expected 0 or more")
        if self.top_k < 0:
            raise UserError(f"top_k is {self.top_k}, expected 0 (all) or more")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p is {self.top_p}, expected more than 0 and at most 1")
        if self.seed < 0:
            raise UserError(f"the seed is {self.seed}, expected 0 or more")


class Chooser:
    """Chooses successive tokens for a batch of texts."""

    def __init__(self, sampling: Sampling, texts: int) -> None:
        self._sampling = sampling
        self._drawing = [np.random.default_rng([sampling.seed, text]) for text in range(texts)]

    def choose(self, logits: Floats) -> Integers:
        """(B,) tokens from (B, V) logits; the first of equally likely ones."""
        if self._sampling.temperature == 0:
            return np.asarray(logits.argmax(axis=1), np.int64)
        shares = probabilities(logits, self._sampling)
        return np.array([drawing.choice(len(row), p=row) for drawing, row in zip(self._drawing, shares, strict=True)])


def probabilities(logits: Floats, sampling: Sampling) -> Floats:
    """(B, V) the distribution to sample from at a temperature above 0: temperature, then top-k, then top-p.

    >>> logits = np.log(np.array([[0.5, 0.3, 0.2]]))
    >>> probabilities(logits, Sampling(temperature=1.0, top_k=2)).round(3).tolist()
    [[0.625, 0.375, 0.0]]
    >>> probabilities(logits, Sampling(temperature=1.0, top_p=0.5)).round(3).tolist()
    [[1.0, 0.0, 0.0]]
    """
    scores = logits.astype(np.float64) / sampling.temperature
    if 0 < sampling.top_k < scores.shape[1]:
        least = np.partition(scores, -sampling.top_k, axis=1)[:, -sampling.top_k, None]
        scores = np.where(scores < least, -np.inf, scores)
    shares = _softmax(scores)
    if sampling.top_p < 1:
        order = np.argsort(-shares, axis=1, kind="stable")
        ranked = np.take_along_axis(shares, order, axis=1)
        kept = np.cumsum(ranked, axis=1) - ranked < sampling.top_p
        np.put_along_axis(shares, order, np.where(kept, ranked, 0), axis=1)
        shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
