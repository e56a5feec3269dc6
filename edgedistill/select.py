"""Chooses: limits, the Pareto front, the preference, and a sentence that says why. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .recipe import Limits, SelectSpec


@dataclass(frozen=True)
class Figures:
    """What the choice looks at. `accuracy` and `accuracy_drop` are on validation."""

    id: str
    accuracy: float
    accuracy_drop: float
    file_mb: float
    p50_ms: float
    p95_ms: float | None
    peak_rss_mb: float | None
    load_ms: float
    agreement: float


@dataclass(frozen=True)
class Verdict:
    """A candidate's standing."""

    id: str
    within_limits: bool
    blocked_by: tuple[str, ...]
    on_pareto_front: bool


@dataclass(frozen=True)
class Choice:
    """What to ship, or None, and why."""

    chosen: str | None
    why: str
    verdicts: tuple[Verdict, ...]


_UNITS = {"file_mb": "MB", "p95_ms": "ms", "peak_rss_mb": "MB", "load_ms": "ms", "accuracy_drop": ""}
_NAMES = {
    "file_mb": "file",
    "p95_ms": "p95",
    "peak_rss_mb": "peak memory",
    "load_ms": "load",
    "accuracy_drop": "accuracy drop",
}


def choose(figures: Sequence[Figures], select: SelectSpec, min_agreement: float) -> Choice:
    """Apply the limits, then the preference."""
    if not figures:
        return Choice(None, "Nothing could be measured: every candidate is refused or failed.", ())
    blocked = {each.id: tuple(_blocks(each, select.limits, min_agreement)) for each in figures}
    verified = [each for each in figures if each.agreement >= min_agreement]
    front = pareto_front(verified)
    verdicts = tuple(
        Verdict(each.id, not blocked[each.id], tuple(text for text, _ in blocked[each.id]), each.id in front)
        for each in figures
    )
    fitting = [each for each in figures if not blocked[each.id]]
    if fitting:
        best = preferred(fitting, select)
        return Choice(best.id, _why(best, fitting, figures, select), verdicts)
    nearest = min(figures, key=lambda each: (each not in verified, sum(excess for _, excess in blocked[each.id])))
    reasons = "; ".join(text for text, _ in blocked[nearest.id])
    return Choice(None, f"Nothing fits. The nearest is {nearest.id}, blocked by: {reasons}.", verdicts)


def pareto_front(figures: Sequence[Figures]) -> set[str]:
    """Ids that no other candidate beats in accuracy, p50 latency and file size at once."""

    def beats(a: Figures, b: Figures) -> bool:
        better = (a.accuracy >= b.accuracy, a.p50_ms <= b.p50_ms, a.file_mb <= b.file_mb)
        strictly = (a.accuracy > b.accuracy, a.p50_ms < b.p50_ms, a.file_mb < b.file_mb)
        return all(better) and any(strictly)

    return {each.id for each in figures if not any(beats(other, each) for other in figures)}


def preferred(fitting: Sequence[Figures], select: SelectSpec) -> Figures:
    """The best by preference; the others decide among equals."""
    match select.prefer:
        case "latency":
            return min(fitting, key=lambda each: (each.p50_ms, -each.accuracy, each.file_mb))
        case "size":
            return min(fitting, key=lambda each: (each.file_mb, -each.accuracy, each.p50_ms))
        case _:
            top = max(each.accuracy for each in fitting)
            equal = [each for each in fitting if each.accuracy >= top - select.tie - 1e-12]
            return min(equal, key=lambda each: (each.p50_ms, each.file_mb, -each.accuracy))


def _blocks(each: Figures, limits: Limits, min_agreement: float) -> list[tuple[str, float]]:
    """What keeps a candidate from being shipped: sentence and excess as a share of the limit."""
    found: list[tuple[str, float]] = []
    if each.agreement < min_agreement:
        text = f"agreement {each.agreement:.4f} is below verify.min_agreement {min_agreement:g}"
        found.append((text, (min_agreement - each.agreement) / max(min_agreement, 1e-9)))
    for name, unit in _UNITS.items():
        limit, value = getattr(limits, name), getattr(each, name)
        if limit is None:
            continue
        if value is None:
            found.append((f"{_NAMES[name]} could not be measured, limit {limit:g} {unit}".rstrip(), 1.0))
        elif value > limit + 1e-12:
            shown = f"{value:.4f}" if name == "accuracy_drop" else f"{value:.2f} {unit}"
            text = f"{_NAMES[name]} {shown} is over the limit of {limit:g} {unit}".rstrip()
            found.append((text, (value - limit) / max(limit, 1e-9)))
    return found


def _why(best: Figures, fitting: Sequence[Figures], figures: Sequence[Figures], select: SelectSpec) -> str:
    facts = f"validation accuracy {best.accuracy:.4f} ({-best.accuracy_drop:+.4f} from the teacher), "
    facts += f"p50 {best.p50_ms:.2f} ms, {best.file_mb:.2f} MB"
    count = f"{len(fitting)} of {len(figures)} candidates are within the limits"
    match select.prefer:
        case "latency":
            reason = "it is the fastest of them"
        case "size":
            reason = "it is the smallest of them"
        case _:
            top = max(fitting, key=lambda each: each.accuracy)
            if top.accuracy <= best.accuracy:
                reason = "it is the most accurate of them"
            else:
                reason = (
                    f"it is the fastest of those within {select.tie:g} of the most accurate "
                    f"({top.id}, {top.accuracy:.4f})"
                )
    return f"{best.id}: {count} and {reason}: {facts}."
