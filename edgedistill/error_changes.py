"""Which errors a round corrected, introduced and inherited. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import Integers


@dataclass(frozen=True)
class ErrorChanges:
    """Row numbers of each kind."""

    corrected: Integers
    """The predecessor was wrong, this model is right."""
    introduced: Integers
    """The predecessor was right, this model is wrong."""
    inherited: Integers
    """This model is wrong with the very answer that the teacher gives."""


def error_changes(predecessor_R: Integers, own_R: Integers, teacher_R: Integers, labels_R: Integers) -> ErrorChanges:  # noqa: N803
    """Compare decisions (R,) with the labels (R,); rows without a label (-100) don't count."""
    known = labels_R != -100
    before, now = predecessor_R == labels_R, own_R == labels_R
    return ErrorChanges(
        corrected=np.flatnonzero(known & ~before & now),
        introduced=np.flatnonzero(known & before & ~now),
        inherited=np.flatnonzero(known & ~now & (own_R == teacher_R)),
    )
