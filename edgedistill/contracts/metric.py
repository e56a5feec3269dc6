"""A metric: a task's score, with a direction, computed from statistics per example. Numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgedistill.arrays import Floats
from edgedistill.contracts.answers import Answers, References

Direction = Literal["higher", "lower"]
"""Which of two values of a metric is better."""


def signed(value: float, direction: Direction) -> float:
    """The value with its sign such that larger is better."""
    return value if direction == "higher" else -value


@dataclass(frozen=True)
class Metric:
    """A score for a task's answers.

    Args:
        name: its name in recipe and results.
        direction: whether higher or lower is better.
        statistics: (answers, references) -> (E, K) float64, one row per example of `references.examples`, in that
            order. These rows are the units of resampling and pairing.
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
        """How much better `new` is than `old`: positive is better, whatever the direction."""
        return signed(new, self.direction) - signed(old, self.direction)
