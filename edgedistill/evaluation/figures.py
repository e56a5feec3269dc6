"""Figures of a model's answers in every reported metric, the primary one first, and paired differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgedistill.evaluation.results_figures import Difference, Figure
from edgedistill.evaluation.statistics import compare, metric_interval

if TYPE_CHECKING:
    from edgedistill.contracts.answers import Answers, References
    from edgedistill.contracts.judge import Judge
    from edgedistill.contracts.metric import Metric


@dataclass(frozen=True)
class Judging:
    """A task's judge with the reported metrics."""

    judge: Judge
    metrics: tuple[str, ...]
    """The primary one first."""

    @property
    def metric(self) -> str:
        """Name of the primary one."""
        return self.metrics[0]

    @property
    def primary(self) -> Metric:
        """The primary metric, used for every choice."""
        return self.judge.metrics[self.metric]

    def figures(
        self, answers: Answers, references: References, split: str, host: str | None = None
    ) -> tuple[Figure, ...]:
        """Every reported metric with its interval, the primary one first."""
        asked = [self.judge.metrics[name] for name in self.metrics]
        return tuple(_figure(metric, answers, references, split, host) for metric in asked)

    def value(self, answers: Answers, references: References) -> float:
        """The primary metric."""
        return self.primary.score(answers, references)

    def gain(
        self, new: Answers, old: Answers, references: References, split: str, of_old: References | None = None
    ) -> Difference:
        """How much better the new answers are than the old ones; a drop is the gain of the earlier model over the later
        one.

        Args:
            of_old: references of the same examples for the old answers, if their decisions differ.
        """
        statistics = self.primary.statistics
        found = compare(self.primary, statistics(new, references), statistics(old, of_old or references))
        return Difference(value=found.gain, low=found.interval.low, high=found.interval.high, p=found.p, split=split)


def _figure(metric: Metric, answers: Answers, references: References, split: str, host: str | None) -> Figure:
    rows = metric.statistics(answers, references)
    interval = metric_interval(metric, rows)
    return Figure(
        metric=metric.name,
        direction=metric.direction,
        value=metric.figure(rows),
        low=interval.low,
        high=interval.high,
        examples=len(rows),
        split=split,
        host=host,
    )
