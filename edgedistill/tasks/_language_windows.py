"""Windows of a document's tokens, each of which becomes one item. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edgedistill.arrays import Booleans


@dataclass(frozen=True)
class Window:
    """Input tokens from `start` to before `end`. Those from `decides` on decide the token after them, where asked."""

    start: int
    decides: int
    end: int


def consecutive(asked: Booleans, length: int) -> list[Window]:
    """Windows without shared tokens, for documents of which everything is asked.

    Args:
        asked: (n,) whether the token after each input token is to be predicted.
        length: of the longest window.

    Returns:
        Those with decisions; the first if nothing is asked.
    """
    every = [Window(a, a, b) for a, b in pairwise([*range(0, len(asked), length), len(asked)])]
    return [window for window in every if asked[window.start : window.end].any()] or every[:1]


def overlapping(asked: Booleans, length: int) -> list[Window]:
    """Windows that give every decision the whole document before it, or more than half a window of it where that does
    not fit: a reply is generated from its whole prompt, so it is not learned without it either.

    Args:
        asked: (n,) whether the token after each input token is to be predicted.
        length: of the longest window.

    Returns:
        Each decision in exactly one; the first window if nothing is asked.
    """
    found, left = [], np.flatnonzero(asked)
    while len(left):
        own = left[left < (length if left[0] < length else left[0] + length // 2)]
        end = int(own[-1]) + 1
        found.append(Window(max(0, end - length), int(own[0]), end))
        left = left[len(own) :]
    return found or [Window(0, 0, min(length, len(asked)))]
