"""Speed figures of a task, from the times of its phases on prompts of given lengths. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgedistill.arrays import Floats
from edgedistill.contracts.items import Items
from edgedistill.contracts.metric import Direction


@dataclass(frozen=True)
class Speed:
    """One figure.

    Args:
        name: its name in the recipe's limits and the results (`ttft_ms`).
        words: its name in sentences and tables (`time to first token`).
        unit: `ms`, `tokens/s`.
        direction: whether higher or lower is better.
        of: (milliseconds (R,) of every run by phase) -> (R,) the figure of each run.
    """

    name: str
    words: str
    unit: str
    direction: Direction
    of: Callable[[Mapping[str, Floats]], Floats]


@dataclass(frozen=True)
class Prompts:
    """Prompts of fixed lengths on which a task's files are timed in addition to its data.

    Args:
        lengths: in tokens; the recipe may override them (`measure.prompts`).
        items: (items of the data, tokens T, number N) -> N items of exactly T real tokens each.
        speeds: the figures reported for each length; the last one breaks ties in the choice.
    """

    lengths: tuple[int, ...]
    items: Callable[[Items, int, int], Items]
    speeds: tuple[Speed, ...]
