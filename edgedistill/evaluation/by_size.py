"""Figures of short and of long examples, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Floats
from edgedistill.evaluation.results import SizeResult

if TYPE_CHECKING:
    from edgedistill.contracts.answers import Answers, References
    from edgedistill.evaluation.figures import Judging

_GROUPS = 4
_FEWEST = 10
"""Examples of a group: an interval of fewer says nothing."""


def by_size(judging: Judging, models: Mapping[str, tuple[Answers, References]], split: str) -> tuple[SizeResult, ...]:
    """The examples in up to four groups of as many each, by their size, the smallest first; none of a task whose
    examples have no size, or where there are too few.

    Args:
        models: by name, what each answered and what is right, in its own tokens; all of the same examples.
    """
    size_of = judging.judge.size_of
    if size_of is None or not models:
        return ()
    _, references = next(iter(models.values()))
    sizes = size_of(references)
    edges = _edges(sizes)
    found = []
    for low, high in pairwise(edges):
        last = high == edges[-1]
        chosen = references.examples[(sizes >= low) & ((sizes <= high) if last else (sizes < high))]
        figures = {
            name: judging.figures(
                answers.where(np.isin(answers.example, chosen)), right.where(np.isin(right.example, chosen)), split
            )
            for name, (answers, right) in models.items()
        }
        found.append(
            SizeResult(
                low=int(low),
                high=int(high) if last else int(high) - 1,
                unit=judging.judge.size_unit,
                examples=len(chosen),
                figures=figures,
            )
        )
    return tuple(found)


def _edges(sizes: Floats) -> list[float]:
    """Between groups of about as many; a group begins at its edge. [] where there are too few for two."""
    groups = min(_GROUPS, len(sizes) // _FEWEST)
    if groups < 2:
        return []
    ordered = np.sort(sizes)
    inner = [ordered[len(ordered) * number // groups] for number in range(1, groups)]
    return sorted({float(ordered[0]), *map(float, inner), float(ordered[-1])})
