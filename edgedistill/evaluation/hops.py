"""What changed from one model or file to the next on the same test examples: metric, agreement, flipped decisions.
Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Integers
from edgedistill.evaluation.results_figures import Difference

if TYPE_CHECKING:
    from edgedistill.contracts.answers import Answers, References
    from edgedistill.evaluation.figures import Judging


@dataclass(frozen=True)
class OnTest:
    """A model's or file's answers on test, with the references in its own decisions."""

    name: str
    """`teacher`, a round, or files under a runtime, as `MODEL/TARGET/PRECISION/RUNTIME`."""
    answers: Answers
    references: References
    decisions: str
    """Two with the same value are asked for the same decisions."""


@dataclass(frozen=True)
class Change:
    """From one to the next."""

    drop: Difference
    """Paired."""
    agreement: float | None
    """Share of equal decisions; None if these differ."""
    lost: Integers | None
    """Indices of the decisions that were right and are wrong; None for a task without correct answers too."""
    won: Integers | None
    """Of those that were wrong and are right."""


def change(judging: Judging, before: OnTest, after: OnTest) -> Change:
    """Compare the two, example by example.

    Raises:
        EdgedistillError: their answers cannot be compared.
    """
    judge, references = judging.judge, after.references
    drop = judging.gain(before.answers, after.answers, before.references, "test", references)
    if before.decisions != after.decisions:
        return Change(drop, None, None, None)
    agreement = float(judge.fidelity(before.answers, after.answers).agree[references.known].mean())
    if judge.right is None:
        return Change(drop, agreement, None, None)
    was, is_ = (judge.right(model.answers, references) for model in (before, after))
    known = references.known
    return Change(drop, agreement, np.flatnonzero(known & was & ~is_), np.flatnonzero(known & ~was & is_))
