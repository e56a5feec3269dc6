"""What is expected of a candidate before anything is trained, and which limits it then exceeds."""

from __future__ import annotations

from edgedistill.recipe.deployment_spec import Limits
from edgedistill.spec import Spec


class CandidateEstimate(Spec):
    """Expected figures of one candidate; None if there is no estimate."""

    id: str
    file_bytes: int | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    without: str | None = None
    """Why figures are missing."""

    @property
    def file_mb(self) -> float | None:
        """In 10^6 bytes, as in limits."""
        return None if self.file_bytes is None else self.file_bytes / 1e6

    def excess(self, limits: Limits) -> float | None:
        """Sum of what it exceeds the limits by, as shares of them; None if a limited figure is unknown."""
        compared = [
            (value, limit)
            for value, limit in ((self.file_mb, limits.file_mb), (self.p95_ms, limits.p95_ms))
            if limit is not None
        ]
        if any(value is None for value, _ in compared):
            return None
        return sum(max(value / limit - 1, 0.0) for value, limit in compared if value is not None)

    def exceeded(self, limits: Limits) -> tuple[str, ...]:
        """The limits that it would exceed, and by how much."""
        compared = (
            ("file", self.file_mb, limits.file_mb, "MB", "select.limits.file_mb"),
            ("p95", self.p95_ms, limits.p95_ms, "ms", "select.limits.p95_ms"),
        )
        return tuple(
            f"{words} {value:.3g} {unit}, {_times(value / limit)} times {key} ({limit:g})"
            for words, value, limit, unit, key in compared
            if value is not None and limit is not None and value > limit
        )

    def meets(self, limits: Limits) -> bool:
        """Whether every given limit on file size and latency is met by a known figure."""
        return self.excess(limits) == 0


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
