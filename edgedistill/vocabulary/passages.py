"""Spans of a text in two tokenizations, so that a teacher reads a student's window in its own tokens.

A student's decision is taught with the context in its window. So the teacher reads only the window's text, plus the one
or two of its tokens that the window's start falls into or follows, since it has no distribution inside its first token.
Its tokens are those of the whole text, not those of tokenizing the span alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgedistill.arrays import Integers
from edgedistill.vocabulary.re_encoding import ReEncoding


@dataclass(frozen=True, eq=False)
class Passage:
    """A window with the few tokens before it."""

    own: Integers
    """(N,) the teacher's tokens, up to the end of the trimmed ones or slightly beyond."""
    trimmed: Integers
    """(M,) the same text from the same position in trimmed tokens."""
    before: int
    """Number of trimmed tokens before the window."""


class Texts:
    """One text in a teacher's tokens and in trimmed ones.

    Raises:
        ValueError: they come from different texts.
    """

    def __init__(self, re_encoding: ReEncoding, own: Integers, trimmed: Integers) -> None:
        self._own, self._trimmed = own, trimmed
        self._own_ends = re_encoding.ends_of(own)
        self._ends = re_encoding.ends_of(re_encoding.kept[trimmed])
        if self._own_ends[-1:].tolist() != self._ends[-1:].tolist():
            raise ValueError(f"{len(own)} teacher tokens and {len(trimmed)} trimmed tokens come from different texts")
        shared = np.isin(self._own_ends, self._ends)
        self._whole = shared & np.concatenate([[True], shared[:-1]])
        """The teacher's tokens with both ends between trimmed tokens."""

    def passage(self, first: int, behind: int) -> Passage:
        """The passage of the window of trimmed tokens from `first` to before `behind`."""
        last = int(np.searchsorted(self._own_ends, self._ends[behind - 1]))
        start = self._ends[first - 1] if first else 0
        earlier = np.flatnonzero(self._whole & (self._own_ends <= start))
        begun = int(earlier[-1]) if len(earlier) else 0
        own_start = self._own_ends[begun - 1] if begun else 0
        from_ = int(np.searchsorted(self._ends, own_start, side="right")) if begun else 0
        return Passage(self._own[begun : last + 1], self._trimmed[from_:behind], first - from_)
