"""Whether a model's answers know anything of the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .contracts.answers import Answers, References
from .contracts.judge import Judge

_SHUFFLES = 2000
_LEVEL = 0.05


@dataclass(frozen=True)
class AgainstChance:
    """Right answers beside those of the same answers in random order."""

    right: int
    decisions: int
    expected: float
    """Right answers in random order, on average."""
    p: float
    """Share of random orders with at least as many right answers."""

    @property
    def at_chance(self) -> bool:
        """Whether the model is not shown to be better than chance, at the 5% level."""
        return self.p > _LEVEL


def against_chance(judge: Judge, answers: Answers, references: References, seed: int = 0) -> AgainstChance:
    """Compare a model with the chance level of its own answers, by permutation.

    Chance is what the same answers get in random order: the agreement that Cohen's kappa (1960) corrects for. Of a
    classifier that is 1/C on a balanced set, and the share of the most frequent class for a model that always says
    that class. That share alone would be no measure: on labels of which 95% are alike, a model that finds most of the
    others may have less accuracy than the one that finds none. A model counts as at chance unless fewer than 5% of
    2,000 random orders get as many right (one-sided permutation test), so one with random weights passes one time in
    twenty, and an all-right one needs about six decisions.

    Args:
        judge: of a task that knows right and wrong.
        answers: of D decisions.
        references: of the same.
    """
    assert judge.right is not None
    asked, said = references.where(references.known), answers.where(references.known)
    if judge.as_references is not None:
        said = judge.as_references(said)  # what is decided alone is quicker to shuffle
    decisions = len(asked)
    right = int(judge.right(said, asked).sum())
    generator = np.random.default_rng(seed)
    orders = (generator.permutation(decisions) for _ in range(_SHUFFLES))
    shuffled = np.array([int(judge.right(said.where(order), asked).sum()) for order in orders])
    return AgainstChance(
        right, decisions, float(shuffled.mean()), (1 + int((shuffled >= right).sum())) / (1 + _SHUFFLES)
    )
