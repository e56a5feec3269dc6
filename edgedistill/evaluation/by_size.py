"""Figures by size of example, with intervals."""

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
"""Minimum examples per group, below which intervals are meaningless."""


def by_size(judging: Judging, models: Mapping[str, tuple[Answers, References]], split: str) -> tuple[SizeResult, ...]:
    """Figures for up to four equal groups of examples by size, smallest first; none for a task without sizes, or with
    too few examples.

    Args:
        models: by name, each model's answers and references in its own tokens, for the same examples.
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
    """Lower edges of groups of about equal size; [] if there are too few for two."""
    groups = min(_GROUPS, len(sizes) // _FEWEST)
    if groups < 2:
        return []
    ordered = np.sort(sizes)
    inner = [ordered[len(ordered) * number // groups] for number in range(1, groups)]
    return sorted({float(ordered[0]), *map(float, inner), float(ordered[-1])})
