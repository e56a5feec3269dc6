"""Chooses: limits, the Pareto front, the preference, and a sentence that says why. Pure."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from edgedistill.contracts.metric import Direction, signed
from edgedistill.evaluation.wording import in_words, worsening
from edgedistill.recipe.schema import Limits, SelectSpec


@dataclass(frozen=True)
class Primary:
    """The metric that the choice goes by."""

    name: str
    direction: Direction

    def best_first(self, value: float) -> float:
        """What sorts the best value first."""
        return -signed(value, self.direction)


@dataclass(frozen=True)
class Figures:
    """What the choice looks at. `value` is the primary metric on validation, `drop` by how much it is worse than the
    teacher's there, whatever the metric's direction."""

    id: str
    value: float
    drop: float
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


_UNITS = {"file_mb": "MB", "p95_ms": "ms", "peak_rss_mb": "MB", "load_ms": "ms", "drop": ""}
_NAMES = {"file_mb": "file", "p95_ms": "p95", "peak_rss_mb": "peak memory", "load_ms": "load"}


def choose(figures: Sequence[Figures], select: SelectSpec, min_agreement: float, primary: Primary) -> Choice:
    """Apply the limits, then the preference."""
    if not figures:
        return Choice(None, "Nothing could be measured: every candidate is refused or failed.", ())
    blocked = {each.id: tuple(_blocks(each, select.limits, min_agreement, primary)) for each in figures}
    verified = [each for each in figures if each.agreement >= min_agreement]
    front = pareto_front(verified, primary)
    verdicts = tuple(
        Verdict(each.id, not blocked[each.id], tuple(text for text, _ in blocked[each.id]), each.id in front)
        for each in figures
    )
    fitting = [each for each in figures if not blocked[each.id]]
    if fitting:
        best = preferred(fitting, select, primary)
        return Choice(best.id, _why(best, fitting, figures, select, primary), verdicts)
    nearest = min(figures, key=lambda each: (each not in verified, sum(excess for _, excess in blocked[each.id])))
    reasons = "; ".join(text for text, _ in blocked[nearest.id])
    return Choice(None, f"Nothing fits. The nearest is {nearest.id}, blocked by: {reasons}.", verdicts)


def pareto_front(figures: Sequence[Figures], primary: Primary) -> set[str]:
    """Ids that no other candidate beats in the primary metric, p50 latency and file size at once."""
    costs = {each.id: (primary.best_first(each.value), each.p50_ms, each.file_mb) for each in figures}

    def beaten(own: tuple[float, ...]) -> bool:
        return any(other != own and all(map(operator.le, other, own)) for other in costs.values())

    return {name for name, own in costs.items() if not beaten(own)}


def preferred(fitting: Sequence[Figures], select: SelectSpec, primary: Primary) -> Figures:
    """The best by preference; the others decide among equals."""

    def worth(each: Figures) -> float:
        return primary.best_first(each.value)

    match select.prefer:
        case "latency":
            return min(fitting, key=lambda each: (each.p50_ms, worth(each), each.file_mb))
        case "size":
            return min(fitting, key=lambda each: (each.file_mb, worth(each), each.p50_ms))
        case _:
            top = min(map(worth, fitting))
            equal = [each for each in fitting if worth(each) <= top + select.tie + 1e-12]
            return min(equal, key=lambda each: (each.p50_ms, each.file_mb, worth(each)))


def _blocks(each: Figures, limits: Limits, min_agreement: float, primary: Primary) -> list[tuple[str, float]]:
    """What keeps a candidate from being shipped: sentence and excess as a share of the limit."""
    found: list[tuple[str, float]] = []
    if each.agreement < min_agreement:
        text = f"agreement {each.agreement:.4f} is below verify.min_agreement {min_agreement:g}"
        found.append((text, (min_agreement - each.agreement) / max(min_agreement, 1e-9)))
    for name, unit in _UNITS.items():
        limit, value = getattr(limits, name), getattr(each, name)
        words = _NAMES.get(name) or worsening(primary.name, primary.direction)
        if limit is None:
            continue
        if value is None:
            found.append((f"{words} could not be measured, limit {limit:g} {unit}".rstrip(), 1.0))
        elif value > limit + 1e-12:
            shown = f"{value:.4f}" if name == "drop" else f"{value:.2f} {unit}"
            text = f"{words} {shown} is over the limit of {limit:g} {unit}".rstrip()
            found.append((text, (value - limit) / max(limit, 1e-9)))
    return found


def _why(
    best: Figures, fitting: Sequence[Figures], figures: Sequence[Figures], select: SelectSpec, primary: Primary
) -> str:
    words = in_words(primary.name)
    lower = "" if primary.direction == "higher" else ", lower is better"
    change = 0.0 - signed(best.drop, primary.direction)
    facts = f"validation {words} {best.value:.4f} ({change:+.4f} from the teacher{lower}), "
    facts += f"p50 {best.p50_ms:.2f} ms, {best.file_mb:.2f} MB"
    count = f"{len(fitting)} of {len(figures)} candidates are within the limits"
    match select.prefer:
        case "latency":
            reason = "it is the fastest of them"
        case "size":
            reason = "it is the smallest of them"
        case _:
            top = min(fitting, key=lambda each: primary.best_first(each.value))
            if top.value == best.value:
                reason = f"it has the best {words} of them"
            else:
                reason = (
                    f"it is the fastest of those within {select.tie:g} of the best {words} ({top.id}, {top.value:.4f})"
                )
    return f"{best.id}: {count} and {reason}: {facts}."
