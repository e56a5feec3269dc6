"""Errors that a round corrected, introduced and inherited. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgedistill.arrays import Booleans, Integers


@dataclass(frozen=True)
class ErrorChanges:
    """Indices of the decisions of each kind."""

    corrected: Integers
    """The predecessor was wrong, this model is right."""
    introduced: Integers
    """The predecessor was right, this model is wrong."""
    inherited: Integers
    """This model gives the same wrong answer as the teacher."""


def error_changes(known: Booleans, before: Booleans, now: Booleans, as_teacher: Booleans) -> ErrorChanges:
    """Compare decisions (D,); those without a known right answer don't count.

    Args:
        known: whether a decision has a right answer.
        before: whether the predecessor is right.
        now: whether this model is right.
        as_teacher: whether this model answers as its teacher does.
    """
    return ErrorChanges(
        corrected=np.flatnonzero(known & ~before & now),
        introduced=np.flatnonzero(known & before & ~now),
        inherited=np.flatnonzero(known & ~now & as_teacher),
    )
