"""Stretches of a text in two tokenizations, so that a teacher reads in its own tokens what a student's window holds.

The rule: a student's decision is taught with the context that its window gives it. So the teacher reads the window's
text and no more, but for the one or two of its tokens that a window's beginning falls into or follows: a teacher says
nothing of what lies within the first token that it reads, and so it reads one before. Its tokens are those of the whole
text, not those that a tokenizer would make of the stretch alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgedistill.arrays import Integers
from edgedistill.vocabulary.re_encoding import ReEncoding


@dataclass(frozen=True, eq=False)
class Passage:
    """What a window holds, with the few tokens before it."""

    own: Integers
    """(N,) the teacher's tokens; they go as far as the trimmed ones, the last may go further."""
    trimmed: Integers
    """(M,) the same text from the same place in trimmed tokens."""
    before: int
    """How many of the trimmed tokens stand before the window."""


class Texts:
    """One text in a teacher's tokens and in trimmed ones.

    Raises:
        ValueError: they are of different texts.
    """

    def __init__(self, re_encoding: ReEncoding, own: Integers, trimmed: Integers) -> None:
        self._own, self._trimmed = own, trimmed
        self._own_ends = re_encoding.ends_of(own)
        self._ends = re_encoding.ends_of(re_encoding.kept[trimmed])
        if self._own_ends[-1:].tolist() != self._ends[-1:].tolist():
            raise ValueError(f"{len(own)} teacher tokens and {len(trimmed)} trimmed tokens come from different texts")
        shared = np.isin(self._own_ends, self._ends)
        self._whole = shared & np.concatenate([[True], shared[:-1]])
        """Of the teacher's tokens, those with both ends between trimmed ones."""

    def passage(self, first: int, behind: int) -> Passage:
        """Of the window from trimmed token `first` to the one before `behind`."""
        last = int(np.searchsorted(self._own_ends, self._ends[behind - 1]))
        start = self._ends[first - 1] if first else 0
        earlier = np.flatnonzero(self._whole & (self._own_ends <= start))
        begun = int(earlier[-1]) if len(earlier) else 0
        own_start = self._own_ends[begun - 1] if begun else 0
        from_ = int(np.searchsorted(self._ends, own_start, side="right")) if begun else 0
        return Passage(self._own[begun : last + 1], self._trimmed[from_:behind], first - from_)
