"""How far the plan's estimates were from what was measured later. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Estimated(_Part):
    """A figure as estimated and as measured."""

    estimated: float
    measured: float

    @property
    def ratio(self) -> float | None:
        """Measured over estimated; more than 1 if the estimate was too low."""
        return self.measured / self.estimated if self.estimated > 0 else None

    @property
    def error(self) -> float:
        """As a share of what was measured, without sign."""
        return abs(self.estimated - self.measured) / self.measured if self.measured > 0 else 0.0


class EstimatedCandidate(_Part):
    """A candidate's estimates beside its measurement; null for figures without one of the two."""

    id: str
    file_bytes: Estimated | None = None
    p50_ms: Estimated | None = None
    p95_ms: Estimated | None = None


class EstimateErrors(_Part):
    """All of a run's estimates. Errors are medians over the candidates, as shares of what was measured."""

    candidates: tuple[EstimatedCandidate, ...]
    file_error: float | None = None
    p50_error: float | None = None
    p95_error: float | None = None

    @property
    def in_words(self) -> str:
        """One sentence."""
        known = (("file size", self.file_error), ("p50", self.p50_error), ("p95", self.p95_error))
        errors = [f"{words} {_percent(error)}" for words, error in known if error is not None]
        return f"Median error of the plan's estimates: {', '.join(errors)}."


def estimate_errors(candidates: Iterable[EstimatedCandidate]) -> EstimateErrors | None:
    """Of the candidates with at least one pair of figures; None if there are none."""
    told = tuple(one for one in candidates if one.file_bytes or one.p50_ms or one.p95_ms)
    if not told:
        return None
    return EstimateErrors(
        candidates=told,
        file_error=_median([one.file_bytes for one in told]),
        p50_error=_median([one.p50_ms for one in told]),
        p95_error=_median([one.p95_ms for one in told]),
    )


def estimated(expected: float | None, measured: float | None) -> Estimated | None:
    """The pair, if both are known."""
    if expected is None or measured is None:
        return None
    return Estimated(estimated=expected, measured=measured)


def _median(pairs: Sequence[Estimated | None]) -> float | None:
    errors = [pair.error for pair in pairs if pair is not None]
    return median(errors) if errors else None


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.995 else f"{100 * share:.0f}%"
