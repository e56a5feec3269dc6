"""The results contract: `results.json`, schema `edgedistill/results/2`. Other programs read it: keys only get added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from edgedistill.contracts.metric import Direction
from edgedistill.errors import UserError
from edgedistill.evaluation.results_v1 import RESULTS_V1, lift_results
from edgedistill.evaluation.wording import in_words

RESULTS_SCHEMA = "edgedistill/results/2"
Interval = tuple[float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Estimate(_Part):
    """A number with its 95% interval; without one where none was computed."""

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
    """Those with a right answer; null where an older file doesn't tell."""
    split: str
    host: str | None = None
    """Where the answers were given, of `Results.hosts`; null for a torch model's."""


class Difference(Estimate):
    """Of two models on the same examples, by the primary metric, paired. The sign is by the name of its field, whatever
    the metric's direction: a positive `drop` is worse, a positive `gain` is better."""

    p: float | None = None
    """Two-sided, of "no difference"."""
    split: str


class _Judged(_Part):
    """What answers examples. Of each split, the first of its figures is the primary one."""

    NEEDED: ClassVar[tuple[str, ...]] = ("test", "validation")

    figures: tuple[Figure, ...]

    @model_validator(mode="after")
    def _has_figures(self) -> _Judged:
        for split in self.NEEDED:
            if not self.on(split):
                raise ValueError(f"figures has none on {split}, expected the primary metric first")
        return self

    def on(self, split: str) -> tuple[Figure, ...]:
        """All figures of a split, the primary one first."""
        return tuple(each for each in self.figures if each.split == split)

    def of(self, metric: str, split: str = "test") -> Figure | None:
        """The figure of that metric; None where there is none."""
        return next((each for each in self.on(split) if each.metric == metric), None)

    @property
    def test(self) -> Figure:
        """The primary one on test, which nothing was chosen by."""
        return self.on("test")[0]

    @property
    def validation(self) -> Figure:
        """The primary one on validation, which everything is chosen by."""
        return self.on("validation")[0]


class OodResult(_Part):
    """How a torch model does on one out-of-distribution set. What its examples don't support is null, or not there."""

    examples: int
    out_of_scope: int
    figures: tuple[Figure, ...] = ()
    """Of the examples with a known label, the primary one first."""
    calibration_error: float | None = None
    auroc: Estimate | None = None
    """How well the model's confidence tells in-scope test examples from the out-of-scope ones."""

    @property
    def primary(self) -> Figure | None:
        """The primary metric."""
        return next(iter(self.figures), None)


class TeacherResult(_Judged):
    """The teacher, as torch runs it."""

    parameters: int
    train_seconds: float
    calibration_error: float | None = None
    """Expected calibration error on test."""
    ood: dict[str, OodResult] = {}
    """By the name of the set, as `evaluate.ood` names it."""


class SeedResult(_Part):
    """One repetition of a round: the primary metric on test."""

    seed: int
    value: float
    control: float | None = None


class TrialResult(_Part):
    """A teacher that was tried, and the primary metric of the trial on validation."""

    teacher: tuple[str, ...]
    value: float


class ErrorCounts(_Part):
    """On test, in decisions."""

    corrected: int
    introduced: int
    """Both against the model before it in the run."""
    inherited: int
    """Wrong with the very answer that the teacher gives."""


class RoundResult(_Judged):
    """A round's student, as torch runs it, beside its control. Differences are paired, on test."""

    id: str
    teacher: str
    student: str
    parameters: int
    drop: Difference
    """From the teacher."""
    control: Figure | None = None
    gain: Difference | None = None
    """Over the control."""
    agreement_with_teacher: float | None
    """Share of decisions; None where the student, with tokens of its own, is asked for others."""
    train_seconds: float
    samples_per_second: float
    calibration_error: float | None = None
    ood: dict[str, OodResult] = {}
    own_teacher: Figure | None = None
    """On data of the round's own: of the teacher tuned on it. All figures of such a round are on its own test set."""
    teacher_trials: tuple[TrialResult, ...] = ()
    """Where the teacher was chosen: each one tried."""
    errors: ErrorCounts | None = None
    """Null for a task without right and wrong answers."""
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
        return self.own_teacher is None


class Percentiles(_Part):
    """Of a figure of every run: the p95 is what 95% of the runs are at least as good as. One that the number of runs
    cannot support is null."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p50_ci: Interval | None = None
    p95_ci: Interval | None = None
    runs: int


class Latency(Percentiles):
    """Milliseconds of one run."""


class SpeedResult(Percentiles):
    """One of the task's own figures of speed."""

    name: str
    words: str
    """As a table has it."""
    unit: str
    direction: Direction


class PromptResult(_Part):
    """A candidate timed on prompts of one length."""

    tokens: int
    phases_ms: dict[str, Latency]
    speeds: tuple[SpeedResult, ...]


class UnmeasuredResult(_Part):
    """A candidate without figures: `refused` is what its target or runtime cannot do, `failed` what went wrong."""

    id: str
    model: str
    """A round's id, or `teacher`."""
    target: str
    precision: str
    runtime: str
    threads: int
    batch: int
    state: Literal["refused", "failed"]
    reason: str


class EmulatedResult(_Judged):
    """A file run on another processor's kernels, emulated, on some of the items, evenly spread; its figures are of
    these. Its cost is counted in instructions: emulation says nothing about time, so it is no candidate for the
    choice. `here` is the same file on the same items under a runtime of this machine, where the run has one."""

    NEEDED: ClassVar[tuple[str, ...]] = ("test",)

    state: Literal["emulated"] = "emulated"

    id: str
    model: str
    target: str
    precision: str
    runtime: str
    cpu: str
    file_bytes: int
    backend: dict[str, JsonValue] = {}
    items: int
    """Of validation, for agreement."""
    items_of: int
    agreement_with_student: float
    max_abs_diff: float
    test_items: int
    test_items_of: int
    here: float | None = None
    """The primary metric."""
    agreement_with_here: float | None = None
    """Share of the answers on these items of test that are the same here."""
    instructions_per_inference: float
    counted_inputs: int


class RuntimeSizeResult(_Part):
    """An estimate of the runtime that has only what a file needs, as its exporter makes it."""

    bytes: int
    operators: int
    unknown: tuple[str, ...]
    """Operators that are not in the estimate."""
    basis: str


class TextsReadResult(_Part):
    """Token ids of many strings, beside those of the model's tokenizer."""

    by: str
    """Whose they are: the file's own tokenizer, or `tokenizer.json` beside it."""
    texts: int
    """The 256 single bytes among them."""
    otherwise: int
    bytes_otherwise: int
    shown: tuple[str, ...] = ()
    """The shortest texts that were read otherwise, as Python writes them."""


class CandidateResult(_Judged):
    """One model's files under one runtime."""

    state: Literal["ok"] = "ok"
    reason: None = None

    id: str
    model: str
    """A round's id, or `teacher`."""
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
    facts: dict[str, JsonValue] = {}
    """What the exporter tells of the files."""
    runtime_size: RuntimeSizeResult | None = None
    """Where the exporter can tell."""
    backend: dict[str, JsonValue] = {}
    """What really ran them, as the runtime tells."""
    drop: Difference
    """From the teacher's torch model, on validation: what the limit looks at."""
    agreement_with_student: float
    agreement_batched: float | None = None
    """The same in padded batches of 16; None for a file that takes one item at a time."""
    validation_batched: float | None = None
    """The primary metric in such batches."""
    max_abs_diff: float
    mean_abs_diff: float
    mean_divergence: float
    """In the task's own measure: KL(torch || file) in nats of a distribution."""
    checks: dict[str, float] = {}
    """What the task checks of a file besides, shares from 0 to 1."""
    texts_read: TextsReadResult | None = None
    """Of a task that checks this."""
    host: str
    """Where it was timed, of `Results.hosts`."""
    latency_ms: Latency
    phases_ms: dict[str, Latency] = {}
    """Of each phase of a run, where it has several."""
    prompts: tuple[PromptResult, ...] = ()
    """Of a task that is timed on prompts besides, shortest first."""
    prompts_too_long: tuple[int, ...] = ()
    """Lengths that the model doesn't read."""
    tokenizer_bytes: int | None = None
    """Of the tokenizer that a device needs beside the files, 0 where they hold it; null where nothing is known of
    one."""
    throughput_per_s: float
    peak_rss_mb: float | None
    load_ms: float
    within_limits: bool
    blocked_by: tuple[str, ...]
    on_pareto_front: bool


class HostResult(_Part):
    """A machine that measured, and the versions there."""

    cpu: str = "unknown processor"
    isa: tuple[str, ...] = ()
    """Instruction sets that matter to inference."""
    threads: int | None = None
    memory_gb: float | None = None
    system: str = "unknown system"
    versions: dict[str, str] = {}

    @property
    def place(self) -> str:
        """The machine in a few words."""
        return f"{self.cpu}, {self.system}"


class DataResult(_Part):
    """What the run learned from and was judged on."""

    task: str
    options: dict[str, JsonValue] = {}
    """The task's own, as the recipe gave them."""
    examples: dict[str, int] = {}
    """By split."""
    duplicate_counts: dict[str, int] = {}
    """Texts of a split that are in an earlier one too, by `EARLIER/SPLIT`."""
    labels: int = 0
    """0 of a task without."""
    test_sha256: str | None = None

    @property
    def shown(self) -> dict[str, object]:
        """What a person reads of it."""
        return {name: value for name, value in self.model_dump().items() if name != "labels" or value}


class JudgementResult(_Part):
    """A round as the stop rule saw it, on validation."""

    round: str
    drop: Difference
    real: bool
    within_limits: tuple[str, ...]
    stop: bool
    reason: str


class StopResult(_Part):
    """Where the rounds ended, and why."""

    round: str
    """The last one."""
    early: bool
    reason: str
    judgements: tuple[JudgementResult, ...]


class Flip(_Part):
    """A decision that a device file makes otherwise than its torch model."""

    text: str
    reference: str
    model: str
    device: str


class SizeResult(_Part):
    """The examples of test of about one size, and what every model does on them."""

    low: int
    high: int
    """Both ends belong to it."""
    unit: str
    examples: int
    figures: dict[str, tuple[Figure, ...]]
    """By a model's name or a file's id, the primary one first."""


class SpokenResult(_Part):
    """How a model or a file went on from a beginning."""

    by: str
    """`teacher`, a round, or files under a runtime, as `MODEL/TARGET/PRECISION/RUNTIME`."""
    text: str
    beside: str | None = None
    """The model that it should repeat: a round's teacher, a file's torch model."""
    parts_at: int | None = None
    """From which character on it differs from that one; null where it says the same."""


class GenerationResult(_Part):
    """A beginning of an example of test, and how each went on."""

    prompt: str
    said: tuple[SpokenResult, ...]


class ErrorText(_Part):
    """An example whose error a round corrected, introduced or inherited."""

    text: str
    reference: str
    teacher: str
    model: str


class Results(_Part):
    """A whole run."""

    schema_: Literal["edgedistill/results/2"] = Field(alias="schema")
    recipe: str
    edgedistill: str
    metric: str
    """The primary one: everything is chosen by it, and every difference is of it."""
    direction: Direction
    teacher: TeacherResult
    rounds: tuple[RoundResult, ...]
    candidates: tuple[CandidateResult | EmulatedResult | UnmeasuredResult, ...]
    chosen: str | None
    why: str
    prompt_tokens: int | None = None
    """Length of the prompts whose figures of speed the choice looked at."""
    stop: StopResult | None = None
    """With a stop rule."""
    warnings: tuple[str, ...] = ()
    flips: dict[str, tuple[Flip, ...]] = {}
    errors: dict[str, dict[str, tuple[ErrorText, ...]]] = {}
    """By round and kind, the first texts of each."""
    by_size: tuple[SizeResult, ...] = ()
    """Of a task whose examples have a size that matters, the smallest first."""
    generations: tuple[GenerationResult, ...] = ()
    """Of a task whose models go on from a beginning."""
    decision: str = "answer"
    """What one thing is called that a model decides."""
    divergence: str = "divergence"
    """What `mean_divergence` is called."""
    check_words: dict[str, str] = {}
    """What each of the `checks` of candidates is called."""
    data: DataResult
    hosts: dict[str, HostResult]
    """By the id that figures and candidates give."""

    @model_validator(mode="after")
    def _hosts_are_known(self) -> Results:
        named = {each.host for each in self.measured} | {f.host for each in self.judged for f in each.figures}
        if missing := sorted(name for name in named if name is not None and name not in self.hosts):
            raise ValueError(f"hosts lacks {', '.join(missing)}")
        return self

    def candidate(self, name: str) -> CandidateResult:
        """The measured candidate of that id."""
        return next(each for each in self.measured if each.id == name)

    @property
    def judged(self) -> tuple[TeacherResult | RoundResult | CandidateResult | EmulatedResult, ...]:
        """All that have figures."""
        return (self.teacher, *self.rounds, *self.measured, *self.emulated)

    @property
    def measured(self) -> tuple[CandidateResult, ...]:
        """The candidates that were timed."""
        return tuple(each for each in self.candidates if isinstance(each, CandidateResult))

    @property
    def emulated(self) -> tuple[EmulatedResult, ...]:
        """Those that ran under emulation."""
        return tuple(each for each in self.candidates if isinstance(each, EmulatedResult))

    @property
    def speeds(self) -> tuple[SpeedResult, ...]:
        """The task's own figures of speed, as some candidate has them; none of most tasks."""
        return next((prompt.speeds for each in self.measured for prompt in each.prompts), ())

    @property
    def unmeasured(self) -> tuple[UnmeasuredResult, ...]:
        """The refused and the failed ones."""
        return tuple(each for each in self.candidates if isinstance(each, UnmeasuredResult))

    @property
    def other_metrics(self) -> tuple[Figure, ...]:
        """The teacher's figures on test besides the primary one: their metrics are those of every model."""
        return self.teacher.on("test")[1:]

    @property
    def agreement_in_words(self) -> str:
        """`agreement`, or of what it is: `next-token agreement`."""
        return "agreement" if self.decision == "answer" else f"{self.decision.replace(' ', '-')} agreement"

    @property
    def as_teacher(self) -> str:
        """What a student's agreement with its teacher is called."""
        return "same as teacher" if self.decision == "answer" else f"{self.decision}s as teacher"

    @property
    def metric_in_words(self) -> str:
        """The primary metric as a sentence has it."""
        return in_words(self.metric)


def load_results(run: Path) -> Results:
    """The results of a run folder, or of a results file. Those of schema 1 are read as if they were of schema 2.

    Raises:
        UserError: there are none, or of another schema.
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
