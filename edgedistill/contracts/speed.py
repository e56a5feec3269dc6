"""How fast a model answers, as its task puts it: figures of the times of its phases, on prompts of given lengths. Numpy
only."""

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
        name: as the recipe's limits and the results give it (`ttft_ms`).
        words: as a sentence or a table has it (`time to first token`).
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
    """What a task's files are timed on besides its data, which has lengths of its own.

    Args:
        lengths: in tokens, unless the recipe names others (`measure.prompts`).
        items: (items of the data, tokens T, how many N) -> N items of exactly T tokens each, real ones.
        speeds: what is told of each length.
    """

    lengths: tuple[int, ...]
    items: Callable[[Items, int, int], Items]
    speeds: tuple[Speed, ...]
