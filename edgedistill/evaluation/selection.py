"""The choice: limits, Pareto front, preference, and a sentence with the reason. Pure."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgedistill.contracts.metric import Direction, signed
from edgedistill.contracts.speed import Speed
from edgedistill.evaluation.beside_fp32 import BesideFp32
from edgedistill.evaluation.wording import in_words, worsening
from edgedistill.recipe.deployment_spec import Limits, SelectSpec


@dataclass(frozen=True)
class Primary:
    """The metric for the choice."""

    name: str
    direction: Direction

    def best_first(self, value: float) -> float:
        """Sort key with the best value first."""
        return -signed(value, self.direction)


@dataclass(frozen=True)
class Figures:
    """A candidate's figures for the choice. `value` is the primary metric on validation, `drop` how much worse it is
    than the teacher's, whatever the metric's direction."""

    id: str
    value: float
    drop: float
    file_mb: float
    p50_ms: float
    p95_ms: float | None
    peak_rss_mb: float | None
    load_ms: float
    agreement: float
    shipped_mb: float | None = None
    """With the tokenizer; None where only the front is asked for."""
    speeds: Mapping[str, float] = field(default_factory=dict)
    """Medians of the task's own speed figures, by name; absent if not measured."""
    beside: BesideFp32 | None = None
    """None for an fp32 file, and if there is no such candidate."""
    search_failed: str | None = None
    """Why the search of its mix found none within its bound; None if it did, or for a file without a search."""
    faults: tuple[str, ...] = ()
    """Sentences on what verification found that rules it out (`file_checks.faults`)."""


@dataclass(frozen=True)
class Prompted:
    """The speed figures for comparing candidates, and their prompt length."""

    speeds: Sequence[Speed] = ()
    tokens: int | None = None
    """None if no length was measured for all candidates."""

    @property
    def rate(self) -> Speed | None:
        """The speed figure that breaks ties; None without such figures."""
        return self.speeds[-1] if self.speeds else None

    @property
    def where(self) -> str:
        """Its form in sentences."""
        return "" if self.tokens is None else f" with prompts of {self.tokens} tokens"


NO_PROMPTS = Prompted()


@dataclass(frozen=True)
class Verdict:
    """The verdict on a candidate."""

    id: str
    within_limits: bool
    blocked_by: tuple[str, ...]
    on_pareto_front: bool
    worse_than_fp32: tuple[str, ...] = ()
    """Sentences on a quantized file that is slower or larger than its fp32 file, whether or not that blocks it."""


@dataclass(frozen=True)
class Choice:
    """What to ship, or None, and why."""

    chosen: str | None
    why: str
    verdicts: tuple[Verdict, ...]


_UNITS = {"file_mb": "MB", "shipped_mb": "MB", "p95_ms": "ms", "peak_rss_mb": "MB", "load_ms": "ms", "drop": ""}
_NAMES = {
    "file_mb": "file",
    "shipped_mb": "file with tokenizer",
    "p95_ms": "p95",
    "peak_rss_mb": "peak memory",
    "load_ms": "load",
}


def choose(
    figures: Sequence[Figures],
    select: SelectSpec,
    min_agreement: float,
    primary: Primary,
    prompted: Prompted = NO_PROMPTS,
) -> Choice:
    """Apply the limits, then the preference. A quantized file that is slower or larger than its fp32 file is not chosen
    where that fp32 file meets the limits."""
    if not figures:
        return Choice(None, "No candidate could be measured: each was refused or failed.", ())
    blocked = {
        candidate.id: _blocks(candidate, select.limits, min_agreement, primary, prompted) for candidate in figures
    }
    # A quantized file without an advantage is only needed where its fp32 file is not allowed.
    allowed = {name for name, reasons in blocked.items() if not reasons}
    for candidate in figures:
        if candidate.beside is not None and candidate.beside.fp32 in allowed:
            blocked[candidate.id] += [(reason, 0.0) for reason in candidate.beside.blocks(select.prefer)]
    verified = [candidate for candidate in figures if candidate.agreement >= min_agreement and not candidate.faults]
    front = pareto_front(verified, primary, prompted)
    verdicts = tuple(
        Verdict(
            candidate.id,
            not blocked[candidate.id],
            tuple(text for text, _ in blocked[candidate.id]),
            candidate.id in front,
            tuple(candidate.beside.flaws.values()) if candidate.beside is not None else (),
        )
        for candidate in figures
    )
    fitting = [candidate for candidate in figures if not blocked[candidate.id]]
    if fitting:
        best = preferred(fitting, select, primary, prompted)
        return Choice(best.id, _why(best, fitting, figures, select, primary, prompted), verdicts)
    nearest = min(
        figures, key=lambda candidate: (candidate not in verified, sum(excess for _, excess in blocked[candidate.id]))
    )
    reasons = "; ".join(text for text, _ in blocked[nearest.id])
    return Choice(None, f"No candidate meets the limits. Closest: {nearest.id} ({reasons}).", verdicts)


def pareto_front(figures: Sequence[Figures], primary: Primary, prompted: Prompted = NO_PROMPTS) -> set[str]:
    """Ids of candidates that no other beats in the primary metric, p50 latency and file size at once; if the task has
    its own speed figures, these and peak memory replace latency."""

    def cost(candidate: Figures) -> tuple[float, ...]:
        worth = primary.best_first(candidate.value)
        if not prompted.speeds:
            return worth, candidate.p50_ms, candidate.file_mb
        slowness = (_slowness(candidate, speed) for speed in prompted.speeds)
        return worth, *slowness, _or_worst(candidate.peak_rss_mb), candidate.file_mb

    costs = {candidate.id: cost(candidate) for candidate in figures}

    def beaten(own: tuple[float, ...]) -> bool:
        return any(other != own and all(map(operator.le, other, own)) for other in costs.values())

    return {name for name, own in costs.items() if not beaten(own)}


def _or_worst(cost: float | None) -> float:
    return math.inf if cost is None else cost


def _slowness(candidate: Figures, speed: Speed) -> float:
    """Sort key with the best first, and missing values last."""
    return -signed(candidate.speeds[speed.name], speed.direction) if speed.name in candidate.speeds else math.inf


def preferred(
    fitting: Sequence[Figures],
    select: SelectSpec,
    primary: Primary,
    prompted: Prompted = NO_PROMPTS,
) -> Figures:
    """The best by preference; the other criteria break ties."""
    by_name = {speed.name: speed for speed in prompted.speeds}

    def worth(candidate: Figures) -> float:
        return primary.best_first(candidate.value)

    match select.prefer:
        case "latency":
            return min(fitting, key=lambda candidate: (candidate.p50_ms, worth(candidate), candidate.file_mb))
        case "size":
            return min(fitting, key=lambda candidate: (candidate.file_mb, worth(candidate), candidate.p50_ms))
        case "peak_rss_mb":
            return min(
                fitting, key=lambda candidate: (_or_worst(candidate.peak_rss_mb), worth(candidate), candidate.file_mb)
            )
        case "ttft_ms" | "tokens_per_s" as name:
            return min(
                fitting,
                key=lambda candidate: (_slowness(candidate, by_name[name]), worth(candidate), candidate.file_mb),
            )
        case _:
            top = min(map(worth, fitting))
            equal = [candidate for candidate in fitting if worth(candidate) <= top + select.tie + 1e-12]
            rate = _tie_breaker(equal, prompted)

            def slowness(candidate: Figures) -> float:
                return candidate.p50_ms if rate is None else _slowness(candidate, rate)

            return min(equal, key=lambda candidate: (slowness(candidate), candidate.file_mb, worth(candidate)))


def _tie_breaker(equal: Sequence[Figures], prompted: Prompted) -> Speed | None:
    """The figure that the reports show of these candidates; None: latency."""
    rate = prompted.rate
    return rate if rate is not None and any(rate.name in candidate.speeds for candidate in equal) else None


def _blocks(
    candidate: Figures, limits: Limits, min_agreement: float, primary: Primary, prompted: Prompted
) -> list[tuple[str, float]]:
    """Reasons that block a candidate: sentence, and excess as a share of the limit."""
    found: list[tuple[str, float]] = []
    if candidate.search_failed is not None:
        found.append((candidate.search_failed, 1.0))
    found += [(fault, 1.0) for fault in candidate.faults]
    if candidate.agreement < min_agreement:
        text = f"agreement {candidate.agreement:.4f} is below verify.min_agreement {min_agreement:g}"
        found.append((text, (min_agreement - candidate.agreement) / max(min_agreement, 1e-9)))
    for name, unit in _UNITS.items():
        limit, value = getattr(limits, name), getattr(candidate, name)
        words = _NAMES.get(name) or worsening(primary.name, primary.direction)
        if limit is None:
            continue
        if value is None:
            found.append((f"{words} could not be measured, limit {limit:g} {unit}".rstrip(), 1.0))
        elif value > limit + 1e-12:
            shown = f"{value:.4f}" if name == "drop" else f"{value:.2f} {unit}"
            text = f"{words} {shown} exceeds the limit of {limit:g} {unit}".rstrip()
            found.append((text, (value - limit) / max(limit, 1e-9)))
    return found + [
        reason for speed in prompted.speeds if (reason := _slow(candidate, speed, limits, prompted)) is not None
    ]


def _slow(candidate: Figures, speed: Speed, limits: Limits, prompted: Prompted) -> tuple[str, float] | None:
    """Why a candidate is not fast enough, if so."""
    limit, value = getattr(limits, speed.name, None), candidate.speeds.get(speed.name)
    if limit is None:
        return None
    if value is None:
        return f"{speed.words} could not be measured, limit {limit:g} {speed.unit}", 1.0
    excess = signed(limit, speed.direction) - signed(value, speed.direction)
    if excess <= 1e-12:
        return None
    fails = "is below" if speed.direction == "higher" else "exceeds"
    text = f"{speed.words} {value:.2f} {speed.unit}{prompted.where} {fails} the limit of {limit:g} {speed.unit}"
    return text, excess / max(limit, 1e-9)


def _why(
    best: Figures,
    fitting: Sequence[Figures],
    figures: Sequence[Figures],
    select: SelectSpec,
    primary: Primary,
    prompted: Prompted,
) -> str:
    words = in_words(primary.name)
    lower = "" if primary.direction == "higher" else ", lower is better"
    change = 0.0 - signed(best.drop, primary.direction)
    facts = f"validation {words} {best.value:.4f} ({change:+.4f} from the teacher{lower}), "
    facts += f"{_speed_in_words(best, select, prompted)}, {best.file_mb:.2f} MB"
    count = f"{len(fitting)} of {len(figures)} candidates that were compared on validation meet the limits"
    match select.prefer:
        case "latency":
            reason = "it is the fastest"
        case "size":
            reason = "it is the smallest"
        case "peak_rss_mb":
            reason = "it uses the least memory"
        case "ttft_ms" | "tokens_per_s" as name:
            words = next(speed.words for speed in prompted.speeds if speed.name == name)
            reason = f"it has the best {words}"
        case _:
            top = min(fitting, key=lambda candidate: primary.best_first(candidate.value))
            if top.value == best.value:
                reason = f"it has the best {words}"
            else:
                rate = _tie_breaker([best], prompted)
                fastest = "is the fastest (p50)" if rate is None else f"has the best {rate.words}"
                reason = f"it {fastest} of those within {select.tie:g} of the best {words} ({top.id}, {top.value:.4f})"
    return f"{best.id}: {count} and {reason}: {facts}."


def _speed_in_words(best: Figures, select: SelectSpec, prompted: Prompted) -> str:
    known = [speed for speed in prompted.speeds if speed.name in best.speeds]
    if not known or select.prefer == "latency":
        return f"p50 {best.p50_ms:.2f} ms"
    return ", ".join(f"{speed.words} {best.speeds[speed.name]:.2f} {speed.unit}" for speed in known) + prompted.where
