"""A metric: what a task is judged by, with a direction, by statistics per example. Numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgedistill.arrays import Floats
from edgedistill.contracts.answers import Answers, References

Direction = Literal["higher", "lower"]
"""Which of two figures of a metric is the better one."""


def signed(value: float, direction: Direction) -> float:
    """The figure with the sign by which larger is better."""
    return value if direction == "higher" else -value


@dataclass(frozen=True)
class Metric:
    """What a task is judged by.

    Args:
        name: as the recipe and the results give it.
        direction: whether higher or lower is better.
        statistics: (answers, references) -> (E, K) float64, one row per example of `references.examples`, in that
            order. Whatever is resampled or paired is these rows.
        figure: (rows (n, K)) -> the metric of any collection of such rows, repeated ones included.
        additive: whether `figure(rows) == figure(rows.sum(axis=0, keepdims=True))`, which makes resampling cheap (true
            of accuracy, F1, perplexity; not of Spearman's correlation).
        shares: whether the figure is a share of right answers, rows being (right, asked): with one decision per
            example, Wilson's interval and McNemar's test apply.
    """

    name: str
    direction: Direction
    statistics: Callable[[Answers, References], Floats]
    figure: Callable[[Floats], float]
    additive: bool = True
    shares: bool = False

    def score(self, answers: Answers, references: References) -> float:
        """The figure of all examples."""
        return self.figure(self.statistics(answers, references))

    def better(self, a: float, b: float) -> bool:
        """Whether a is better than b."""
        return signed(a, self.direction) > signed(b, self.direction)

    def gain(self, new: float, old: float) -> float:
        """By how much `new` is better than `old`: positive is better, whatever the direction."""
        return signed(new, self.direction) - signed(old, self.direction)
