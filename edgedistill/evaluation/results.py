"""The results format: `results.json`, schema `edgedistill/results/2`. Since other programs read it, keys are only ever
added."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, ValidationError, model_validator

from edgedistill.contracts.metric import Direction
from edgedistill.errors import UserError
from edgedistill.evaluation.estimate_error import EstimateErrors
from edgedistill.evaluation.results_candidates import CandidateResult, EmulatedResult, SpeedResult, UnmeasuredResult
from edgedistill.evaluation.results_figures import Difference, Figure, Part
from edgedistill.evaluation.results_hosts import HostResult
from edgedistill.evaluation.results_losses import Flip, LossBudgetResult
from edgedistill.evaluation.results_models import RoundResult, TeacherResult
from edgedistill.evaluation.results_v1 import RESULTS_V1, lift_results
from edgedistill.evaluation.wording import in_words

RESULTS_SCHEMA = "edgedistill/results/2"


class DataResult(Part):
    """Data for training and evaluation."""

    task: str
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """The task's options from the recipe."""
    examples: dict[str, int] = Field(default_factory=dict)
    """By split."""
    duplicate_counts: dict[str, int] = Field(default_factory=dict)
    """Number of texts of a split that are also in an earlier one, by `EARLIER/SPLIT`."""
    labels: int = 0
    """0 for a task without classes."""
    test_sha256: str | None = None

    @property
    def shown(self) -> dict[str, object]:
        """Readable facts about it."""
        return {name: value for name, value in self.model_dump().items() if name != "labels" or value}


class JudgementResult(Part):
    """A round judged by the stopping rule, on validation."""

    round: str
    drop: Difference
    real: bool
    within_limits: tuple[str, ...]
    stop: bool
    reason: str


class StopResult(Part):
    """Where the rounds ended, and why."""

    round: str
    """The last one."""
    early: bool
    reason: str
    judgements: tuple[JudgementResult, ...]


class SizeResult(Part):
    """Test examples of similar size, and every model's figures on them."""

    low: int
    high: int
    """Both ends belong to it."""
    unit: str
    examples: int
    figures: dict[str, tuple[Figure, ...]]
    """By model name or file id, the primary figure first."""


class SpokenResult(Part):
    """A model's or file's continuation of a prefix."""

    by: str
    """`teacher`, a round, or files under a runtime, as `MODEL/TARGET/PRECISION/RUNTIME`."""
    text: str
    beside: str | None = None
    """The reference model: a round's teacher, a file's PyTorch model."""
    parts_at: int | None = None
    """Position of the first difference from it; null if equal."""


class GenerationResult(Part):
    """A prefix of a test example, and its continuations."""

    prompt: str
    said: tuple[SpokenResult, ...]


class ErrorText(Part):
    """An example whose error a round corrected, introduced or inherited."""

    text: str
    reference: str
    teacher: str
    model: str


class Results(Part):
    """A whole run."""

    schema_: Literal["edgedistill/results/2"] = Field(alias="schema")
    recipe: str
    edgedistill: str
    metric: str
    """The primary metric, used for every choice and every difference."""
    direction: Direction
    teacher: TeacherResult
    rounds: tuple[RoundResult, ...]
    candidates: tuple[CandidateResult | EmulatedResult | UnmeasuredResult, ...]
    chosen: str | None
    why: str
    prompt_tokens: int | None = None
    """Prompt length of the speed figures used for the choice."""
    stop: StopResult | None = None
    """With a stopping rule."""
    warnings: tuple[str, ...] = ()
    loss_budget: LossBudgetResult | None = None
    """Null without measured candidates, and in older files."""
    flips: dict[str, tuple[Flip, ...]] = Field(default_factory=dict)
    errors: dict[str, dict[str, tuple[ErrorText, ...]]] = Field(default_factory=dict)
    """By round and kind, the first texts of each."""
    by_size: tuple[SizeResult, ...] = ()
    """For a task that reports figures by size, smallest first."""
    generations: tuple[GenerationResult, ...] = ()
    """For a task that generates text."""
    estimates: EstimateErrors | None = None
    """The plan's estimates beside the measured figures; null if it had none."""
    decision: str = "answer"
    """The word for one decision."""
    divergence: str = "divergence"
    """The name of `mean_divergence`."""
    check_words: dict[str, str] = Field(default_factory=dict)
    """The name of each of the candidates' `checks`."""
    data: DataResult
    hosts: dict[str, HostResult]
    """By the id used in figures and candidates."""

    @model_validator(mode="after")
    def _hosts_are_known(self) -> Results:
        named = {candidate.host for candidate in self.measured} | {
            f.host for judged in self.judged for f in judged.figures
        }
        if missing := sorted(name for name in named if name is not None and name not in self.hosts):
            raise ValueError(f"hosts lacks {', '.join(missing)}")
        return self

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        yield "recipe", self.recipe
        yield "metric", self.metric
        yield "teacher", self.teacher.test.value
        yield from ((round_.id, round_.test.value) for round_ in self.rounds)
        yield "candidates", len(self.candidates)
        yield "chosen", self.chosen

    def candidate(self, name: str) -> CandidateResult:
        """The measured candidate of that id."""
        return next(candidate for candidate in self.measured if candidate.id == name)

    @property
    def judged(self) -> tuple[TeacherResult | RoundResult | CandidateResult | EmulatedResult, ...]:
        """All candidates with figures."""
        return (self.teacher, *self.rounds, *self.measured, *self.emulated)

    @property
    def measured(self) -> tuple[CandidateResult, ...]:
        """The candidates that were timed."""
        return tuple(candidate for candidate in self.candidates if isinstance(candidate, CandidateResult))

    @property
    def comparison(self) -> str:
        """Where the choice was made, and among how many candidates: choosing the best of many flatters it there."""
        count = len(self.measured)
        return f"on validation, where {count} candidate{' was' if count == 1 else 's were'} compared"

    @property
    def emulated(self) -> tuple[EmulatedResult, ...]:
        """Those that ran under emulation."""
        return tuple(candidate for candidate in self.candidates if isinstance(candidate, EmulatedResult))

    @property
    def speeds(self) -> tuple[SpeedResult, ...]:
        """The task's own speed figures, if any candidate has them; none for most tasks."""
        return next((prompt.speeds for candidate in self.measured for prompt in candidate.prompts), ())

    @property
    def unmeasured(self) -> tuple[UnmeasuredResult, ...]:
        """The refused and the failed ones."""
        return tuple(candidate for candidate in self.candidates if isinstance(candidate, UnmeasuredResult))

    @property
    def other_metrics(self) -> tuple[Figure, ...]:
        """The teacher's figures on test other than the primary one; every model has the same metrics."""
        return self.teacher.on("test")[1:]

    @property
    def agreement_in_words(self) -> str:
        """`agreement`, or more specifically `next-token agreement`."""
        return "agreement" if self.decision == "answer" else f"{self.decision.replace(' ', '-')} agreement"

    @property
    def as_teacher(self) -> str:
        """The name of a student's agreement with its teacher."""
        return "same as teacher" if self.decision == "answer" else f"{self.decision}s as teacher"

    @property
    def metric_in_words(self) -> str:
        """The primary metric's name in sentences."""
        return in_words(self.metric)


def load_results(run: Path) -> Results:
    """The results of a run folder, or of a results file. Schema 1 is converted to schema 2.

    Raises:
        UserError: there are none, or they have another schema.
    """
    file = run / "results.json" if run.is_dir() else run
    if not file.is_file():
        raise UserError(f"{run}: expected a finished run's folder or its results.json")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = content.get("schema") if isinstance(content, dict) else None
        if found == RESULTS_V1:
            content = lift_results(content)
        elif found != RESULTS_SCHEMA:
            raise UserError(f"{file}: schema is {found!r}, expected '{RESULTS_SCHEMA}' or '{RESULTS_V1}'")
        return Results.model_validate(content)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise UserError(f"{file}: is not a results file: {error} is missing") from None
    except (ValidationError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file}: is not a results file: {' '.join(str(error).split())[:200]}") from None
