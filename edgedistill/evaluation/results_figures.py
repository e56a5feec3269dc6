"""Figures and differences in results, with their intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from edgedistill.contracts.metric import Direction

Interval = tuple[float, float]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Estimate(Part):
    """A number with its 95% interval, if computed."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> Interval | None:
        """Both ends."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class Figure(Estimate):
    """A metric of one model on one split."""

    metric: str
    direction: Direction
    """Whether higher or lower is better."""
    examples: int | None = None
    """Those with a right answer; null if unknown, in older files."""
    split: str
    host: str | None = None
    """Host of the answers, in `Results.hosts`; null for PyTorch models."""


class Difference(Estimate):
    """Paired difference of two models on the same examples in the primary metric. The field's name determines the sign,
    whatever the metric's direction: a positive `drop` is worse, a positive `gain` is better."""

    p: float | None = None
    """Two-sided p-value of "no difference"."""
    split: str


class Judged(Part):
    """A model or file. The first figure of each split is the primary one."""

    NEEDED: ClassVar[tuple[str, ...]] = ("test", "validation")
    SHOWN: ClassVar[tuple[str, ...]]
    """What a notebook shows of it beside the primary figures."""

    figures: tuple[Figure, ...]

    @model_validator(mode="after")
    def _has_figures(self) -> Judged:
        for split in self.NEEDED:
            if not self.on(split):
                raise ValueError(f"figures has none on {split}, expected the primary metric first")
        return self

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        yield from ((name, getattr(self, name)) for name in self.SHOWN)
        yield from ((split, self.on(split)[0].value) for split in self.NEEDED)

    def on(self, split: str) -> tuple[Figure, ...]:
        """All figures of a split, the primary one first."""
        return tuple(figure for figure in self.figures if figure.split == split)

    def of(self, metric: str, split: str = "test") -> Figure | None:
        """The figure of that metric, or None."""
        return next((figure for figure in self.on(split) if figure.metric == metric), None)

    @property
    def test(self) -> Figure:
        """The primary figure on test, which plays no part in any choice."""
        return self.on("test")[0]

    @property
    def validation(self) -> Figure:
        """The primary figure on validation, used for every choice."""
        return self.on("validation")[0]


class OodResult(Part):
    """A PyTorch model's figures on one out-of-distribution set. Figures that its examples do not support are null or
    absent."""

    examples: int
    out_of_scope: int
    figures: tuple[Figure, ...] = ()
    """Of the examples with a known label, the primary one first."""
    calibration_error: float | None = None
    auroc: Estimate | None = None
    """AUROC of the model's confidence, in-scope test examples against out-of-scope ones."""

    @property
    def primary(self) -> Figure | None:
        """The primary metric."""
        return next(iter(self.figures), None)
