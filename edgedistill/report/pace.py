"""Speed figures for comparing candidates: the latency of one inference, or the task's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgedistill.contracts.metric import Direction
from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import CandidateResult, SpeedResult
from edgedistill.recipe.deployment_spec import Limits
from edgedistill.report import formatting


@dataclass(frozen=True)
class Pace:
    """One speed figure of candidates."""

    words: str
    """`median latency of one run`."""
    unit: str
    direction: Direction
    limit: str
    """Its name among the limits of a recipe."""
    limit_words: str
    of: Callable[[CandidateResult], float | None]
    shown: Callable[[float], str]
    """Its text beside a candidate's name."""

    @property
    def axis(self) -> str:
        """The axis label; faster is left."""
        return f"{self.words}, {self.unit}" + ("" if self.direction == "lower" else " (← higher is better)")

    def limit_of(self, limits: Limits) -> float | None:
        """The recipe's, if it has one."""
        value: float | None = getattr(limits, self.limit, None)
        return value


LATENCY = Pace(
    words="median latency of one run",
    unit="ms",
    direction="lower",
    limit="p95_ms",
    limit_words="the p95 limit",
    of=lambda candidate: candidate.latency_ms.p50,
    shown=lambda value: f"p50 {formatting.milliseconds(value)} ms",
)


def paces(results: Results) -> tuple[Pace, ...]:
    """The speed figures of these results' Pareto front."""
    if results.prompt_tokens is None:
        return (LATENCY,)
    return tuple(_of_prompts(speed, results.prompt_tokens) for speed in results.speeds)


def speed_at(candidate: CandidateResult, name: str, tokens: int | None) -> SpeedResult | None:
    """A candidate's figure on prompts of that length."""
    own = next((prompt.speeds for prompt in candidate.prompts if prompt.tokens == tokens), ())
    return next((speed for speed in own if speed.name == name), None)


def _of_prompts(speed: SpeedResult, tokens: int) -> Pace:
    def median(candidate: CandidateResult) -> float | None:
        found = speed_at(candidate, speed.name, tokens)
        return None if found is None else found.p50

    return Pace(
        words=f"{speed.words}, median with prompts of {tokens} tokens",
        unit=speed.unit,
        direction=speed.direction,
        limit=speed.name,
        limit_words=f"the limit on {speed.words}",
        of=median,
        shown=lambda value: f"{speed.words} {formatting.pace(value)} {speed.unit}",
    )
