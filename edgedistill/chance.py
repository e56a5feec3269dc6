"""Whether a model's answers know anything of the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import Integers

_SHUFFLES = 2000
_LEVEL = 0.05


@dataclass(frozen=True)
class AgainstChance:
    """Right answers beside those of the same answers in random order."""

    right: int
    items: int
    expected: float
    """Right answers in random order, on average."""
    p: float
    """Share of random orders with at least as many right answers."""

    @property
    def at_chance(self) -> bool:
        """Whether the model is not shown to be better than chance, at the 5% level."""
        return self.p > _LEVEL


def against_chance(decisions: Integers, references: Integers, seed: int = 0) -> AgainstChance:
    """Compare a model with the chance level of its own answers, by permutation.

    Chance is what the same answers get in random order: the agreement that Cohen's kappa (1960) corrects for, the sum
    over classes of (share of answers) x (share of labels). It is 1/C for a balanced set, and the share of the most
    frequent class for a model that always says that class. That share alone would be no measure: on labels of which
    95% are alike, a model that finds most of the others may have less accuracy than the one that finds none. A model
    counts as at chance unless fewer than 5% of 2,000 random orders get as many right (one-sided permutation test), so
    one with random weights passes one time in twenty, and an all-right one needs about six items.

    Args:
        decisions: (R,) class ids.
        references: (R,) class ids.
    """
    items = len(references)
    right = int((decisions == references).sum())
    generator = np.random.default_rng(seed)
    shuffled = [int((generator.permutation(decisions) == references).sum()) for _ in range(_SHUFFLES)]
    classes = int(max(decisions.max(), references.max())) + 1
    shares = np.bincount(decisions, minlength=classes) * np.bincount(references, minlength=classes)
    at_least = sum(each >= right for each in shuffled)
    return AgainstChance(right, items, float(shares.sum() / items), (1 + at_least) / (1 + _SHUFFLES))
