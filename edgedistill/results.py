"""The results contract: `results.json`, schema `edgedistill/results/1`. Other programs read it: keys only get added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import UserError

RESULTS_SCHEMA = "edgedistill/results/1"
Interval = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class TeacherResult(_Part):
    """The teacher, as torch runs it. Accuracy is the task's metric on test."""

    parameters: int
    accuracy: float
    accuracy_ci: Interval
    validation_accuracy: float
    train_seconds: float
    calibration_error: float | None = None
    """Expected calibration error on test."""
    elsewhere: dict[str, ElsewhereResult] = {}
    """By the name of the set, as `evaluate.ood` names it."""


class ElsewhereResult(_Part):
    """How a torch model does on one set from elsewhere. `auroc` tells in-scope test items from the out-of-scope ones
    by the largest probability; what the set's items don't support is null."""

    items: int
    out_of_scope: int
    accuracy: float | None = None
    accuracy_ci: Interval | None = None
    calibration_error: float | None = None
    auroc: float | None = None
    auroc_ci: Interval | None = None


class SeedResult(_Part):
    """One repetition of a round."""

    seed: int
    accuracy: float
    control_accuracy: float | None = None


class RoundResult(_Part):
    """A round's student, as torch runs it, beside its control. Differences are paired, on test."""

    id: str
    teacher: str
    student: str
    parameters: int
    accuracy: float
    accuracy_ci: Interval
    validation_accuracy: float
    drop_from_teacher: float
    drop_from_teacher_ci: Interval
    control_accuracy: float | None = None
    gain_over_control: float | None = None
    gain_over_control_ci: Interval | None = None
    gain_over_control_p: float | None = None
    agreement_with_teacher: float
    train_seconds: float
    samples_per_second: float
    calibration_error: float | None = None
    elsewhere: dict[str, ElsewhereResult] = {}
    own_teacher_accuracy: float | None = None
    """On data of the round's own: of the teacher tuned on it. All figures of such a round are on its own test set."""
    own_teacher_accuracy_ci: Interval | None = None
    teacher_trials: tuple[dict[str, object], ...] = ()
    """Where the teacher was chosen: each one tried (`teacher`) and the `metric` on validation."""
    errors: dict[str, int] = {}
    """On test: `corrected` and `introduced` against the round before, `inherited` from the teacher."""
    loads_in: tuple[str, ...] = ()
    """Whose auto classes load `models/ID`: `edgedistill`, and `transformers` where that knows the model type too."""
    seeds: tuple[SeedResult, ...] = ()
    """Every repetition, this one first; empty when there was no other."""

    @property
    def only_edgedistill_loads_it(self) -> bool:
        """Whether transformers, optimum and transformers.js don't know the folder's model type."""
        return self.loads_in == ("edgedistill",)

    @property
    def on_recipe_data(self) -> bool:
        """Whether the figures are on the recipe's test set, not on the round's own."""
        return self.own_teacher_accuracy is None


class Latency(_Part):
    """Milliseconds of one run; a percentile that the number of runs cannot support is null."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p50_ci: Interval | None = None
    p95_ci: Interval | None = None
    runs: int


class UnmeasuredResult(_Part):
    """A candidate without figures: `refused` is what its target or runtime cannot do, `failed` what went wrong."""

    id: str
    round: str
    target: str
    precision: str
    runtime: str
    threads: int
    batch: int
    state: Literal["refused", "failed"]
    reason: str


class EmulatedResult(_Part):
    """A file run on another processor's kernels, emulated, on some of the items, evenly spread. Its cost is counted in
    instructions: emulation says nothing about time, so it is no candidate for the choice. `here` is the same file on
    the same items under a runtime of this machine, where the run has one."""

    state: Literal["emulated"] = "emulated"

    id: str
    round: str
    target: str
    precision: str
    runtime: str
    cpu: str
    file_bytes: int
    backend: dict[str, object] = {}
    items: int
    """Of validation, for agreement."""
    items_of: int
    agreement_with_student: float
    max_abs_diff: float
    test_items: int
    test_items_of: int
    accuracy: float
    accuracy_ci: Interval
    accuracy_here: float | None = None
    agreement_with_here: float | None = None
    """Share of the test items with the same answer as here."""
    instructions_per_inference: float
    counted_inputs: int


class RuntimeSizeResult(_Part):
    """An estimate of the runtime that has only what a file needs, as its exporter makes it."""

    bytes: int
    operators: int
    unknown: tuple[str, ...]
    """Operators that are not in the estimate."""
    basis: str


class CandidateResult(_Part):
    """One model's files under one runtime. `accuracy` is on test, `validation_accuracy` is what the choice used."""

    state: Literal["ok"] = "ok"
    reason: None = None

    id: str
    round: str
    target: str
    precision: str
    runtime: str
    threads: int
    batch: int
    file: str
    """The file that the runtime opens; of a target of fixed shapes, that of the longest inputs."""
    file_bytes: int
    """Of all that a device needs."""
    files: tuple[str, ...] = ()
    """All that a device needs."""
    lengths: tuple[int, ...] = ()
    """Of a target of fixed shapes: the input lengths that there are files for."""
    facts: dict[str, object] = {}
    """What the exporter tells of the files."""
    runtime_size: RuntimeSizeResult | None = None
    """Where the exporter can tell."""
    backend: dict[str, object] = {}
    """What really ran them, as the runtime tells."""
    accuracy: float | None
    accuracy_ci: Interval | None
    validation_accuracy: float
    accuracy_drop: float
    agreement_with_student: float
    agreement_batched: float | None = None
    """The same in padded batches of 16; None for a file that takes one item at a time."""
    validation_accuracy_batched: float | None = None
    max_abs_diff: float
    mean_abs_diff: float
    mean_kl: float
    latency_ms: Latency
    throughput_per_s: float
    peak_rss_mb: float | None
    load_ms: float
    within_limits: bool
    blocked_by: tuple[str, ...]
    on_pareto_front: bool


class Flip(_Part):
    """An item that a device file answers otherwise than its torch model."""

    text: str
    reference: str
    model: str
    device: str


class ErrorText(_Part):
    """An item whose error a round corrected, introduced or inherited."""

    text: str
    reference: str
    teacher: str
    model: str


class Results(_Part):
    """A whole run."""

    schema_: str = Field(alias="schema")
    recipe: str
    edgedistill: str
    metric: str
    teacher: TeacherResult
    rounds: tuple[RoundResult, ...]
    candidates: tuple[CandidateResult | EmulatedResult | UnmeasuredResult, ...]
    chosen: str | None
    why: str
    stop: dict[str, object] | None = None
    """With a stop rule: the last `round`, whether that was `early`, the `reason`, and every round's judgement."""
    warnings: tuple[str, ...] = ()
    flips: dict[str, tuple[Flip, ...]] = {}
    errors: dict[str, dict[str, tuple[ErrorText, ...]]] = {}
    """By round and kind, the first texts of each."""
    data: dict[str, object] = {}
    environment: dict[str, object] = {}

    def candidate(self, name: str) -> CandidateResult:
        """The measured candidate of that id."""
        return next(each for each in self.measured if each.id == name)

    @property
    def measured(self) -> tuple[CandidateResult, ...]:
        """The candidates that were timed."""
        return tuple(each for each in self.candidates if isinstance(each, CandidateResult))

    @property
    def emulated(self) -> tuple[EmulatedResult, ...]:
        """Those that ran under emulation."""
        return tuple(each for each in self.candidates if isinstance(each, EmulatedResult))

    @property
    def unmeasured(self) -> tuple[UnmeasuredResult, ...]:
        """The refused and the failed ones."""
        return tuple(each for each in self.candidates if isinstance(each, UnmeasuredResult))


def load_results(run: Path) -> Results:
    """The results of a run folder, or of a results file.

    Raises:
        UserError: there are none, or of another schema.
    """
    file = run / "results.json" if run.is_dir() else run
    if not file.is_file():
        raise UserError(f"{run}: expected a finished run's folder or its results.json")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = content.get("schema") if isinstance(content, dict) else None
        if found != RESULTS_SCHEMA:
            raise UserError(f"{file}: schema is {found!r}, expected '{RESULTS_SCHEMA}'")
        return Results.model_validate(content)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValidationError, ValueError, RecursionError) as error:
        raise UserError(f"{file}: is not a results file: {' '.join(str(error).split())[:200]}") from None
