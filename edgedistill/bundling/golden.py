"""Which inputs a bundle is tested with, and how far an answer may lie from the expected one. Pure."""

from __future__ import annotations

import numpy as np

from edgedistill.exporting import TOLERANCE
from edgedistill.interfaces import Floats, Integers

ITEMS = 32


def spread_by_length(lengths: Integers, count: int = ITEMS) -> list[int]:
    """That many items, evenly spread over all when ordered by length: the shortest and the longest are among them, and
    the median length is the data's own, so that they may be timed as well."""
    order = np.argsort(lengths, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return sorted(int(item) for item in order[places])


def tolerance(max_abs_diff: float, precision: str) -> tuple[float, str]:
    """How far one output may be off on another machine, and why.

    Args:
        max_abs_diff: largest difference of the file's outputs from its torch model on validation.
    """
    if max_abs_diff <= TOLERANCE:
        return TOLERANCE, (
            f"another processor adds the same {precision} numbers in another order; the file itself is within "
            f"{max_abs_diff:.1e} of its torch model, a wrong file is off by far more than {TOLERANCE:g}"
        )
    return max_abs_diff, (
        f"the largest difference between this {precision} file and its torch model on the whole validation set: the "
        "integer and half-precision instructions of another processor round otherwise, and may move an output as "
        "far as rounding did here, but no further"
    )


def first_wrong(given: Floats, expected: Floats, allowed: float) -> str | None:
    """What is wrong with one item's rows, or None.

    Args:
        given: (R, C).
        expected: (R, C).
    """
    if given.shape != expected.shape:
        return f"has {given.shape} outputs, expected {expected.shape}"
    if not np.isfinite(given).all():
        return "has outputs that are not numbers"
    worst = float(np.abs(given - expected).max())
    return f"is off by {worst:.4g}, allowed is {allowed:.4g}" if worst > allowed else None
