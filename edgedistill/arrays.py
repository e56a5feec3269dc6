"""Shared array types. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Arrays = Mapping[str, Array]
Floats = NDArray[np.floating]
Integers = NDArray[np.integer]
Numbers = NDArray[np.integer | np.floating]
Booleans = NDArray[np.bool_]


def positions(owners: Integers, wanted: Sequence[int] | Integers) -> Integers:
    """Positions of these owners: all positions of each, in the order given.

    Args:
        owners: ascending: the example of each item, or the item of each decision.

    >>> positions(np.array([0, 0, 1, 3, 3]), [3, 0]).tolist()
    [3, 4, 0, 1]
    """
    chosen = np.asarray(wanted, dtype=np.int64)
    first, last = np.searchsorted(owners, chosen), np.searchsorted(owners, chosen, side="right")
    lengths = last - first
    return np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))


def evenly_spaced(total: int, take: int | None) -> Integers:
    """Indices of `take` out of `total`, evenly spaced, so that data sorted by label does not yield only the first
    labels. All if there are no more, or for None.

    >>> evenly_spaced(10, 4).tolist()
    [0, 3, 6, 9]
    >>> evenly_spaced(3, 4).tolist()
    [0, 1, 2]
    """
    if take is None or take >= total:
        return np.arange(total, dtype=np.int64)
    return np.linspace(0, total - 1, take).astype(np.int64)
