"""The results format: `results.json`, schema `edgedistill/results/2`. Since other programs read it, keys are only ever
added."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from edgedistill.contracts.metric import Direction
from edgedistill.contracts.mix_search import MixSearch
from edgedistill.errors import UserError
from edgedistill.evaluation.estimate_error import EstimateErrors
from edgedistill.evaluation.results_v1 import RESULTS_V1, lift_results
from edgedistill.evaluation.wording import in_words

RESULTS_SCHEMA = "edgedistill/results/2"
Interval = tuple[float, float]
INT8_DOT_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
"""Instruction sets with products of int8 that add up in one instruction."""
INT8_ISA = ("avx2", *INT8_DOT_PRODUCTS, "sve")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Estimate(_Part):
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


class _Judged(_Part):
    """A model or file. The first figure of each split is the primary one."""

    NEEDED: ClassVar[tuple[str, ...]] = ("test", "validation")
    SHOWN: ClassVar[tuple[str, ...]]
    """What a notebook shows of it beside the primary figures."""

    figures: tuple[Figure, ...]

    @model_validator(mode="after")
    def _has_figures(self) -> _Judged:
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


class OodResult(_Part):
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


class TeacherResult(_Judged):
    """The teacher, in PyTorch."""

    SHOWN: ClassVar[tuple[str, ...]] = ("parameters",)

    parameters: int
    train_seconds: float
    calibration_error: float | None = None
    """Expected calibration error on test."""
    ood: dict[str, OodResult] = {}
    """By the name of the set in `evaluate.ood`."""


class SeedResult(_Part):
    """One repetition of a round: the primary metric on test."""

    seed: int
    value: float
    control: float | None = None


class TrialResult(_Part):
    """A candidate teacher, and the primary metric of its trial on validation."""

    teacher: tuple[str, ...]
    value: float


class ErrorCounts(_Part):
    """On test, in decisions."""

    corrected: int
    introduced: int
    """Both relative to the previous model in the run."""
    inherited: int
    """The same wrong answer as the teacher."""


class RoundResult(_Judged):
    """A round's student in PyTorch, with its control. Differences are paired, on test."""

    SHOWN: ClassVar[tuple[str, ...]] = ("id", "teacher", "student", "parameters")

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
    """Share of decisions; None if the student has its own tokens and so other decisions."""
    train_seconds: float
    samples_per_second: float
    calibration_error: float | None = None
    ood: dict[str, OodResult] = {}
    own_teacher: Figure | None = None
    """For a round with its own data: the teacher fine-tuned on it. All figures of such a round are on its own test
    set."""
    teacher_trials: tuple[TrialResult, ...] = ()
    """All candidate teachers, if the teacher was chosen."""
    errors: ErrorCounts | None = None
    """Null for a task without correct answers."""
    loads_in: tuple[str, ...] = ()
    """Libraries whose auto classes load `models/ID`: `edgedistill`, and `transformers` if it knows the model type."""
    seeds: tuple[SeedResult, ...] = ()
    """Every repetition, this one first; empty if there was no other."""

    @property
    def only_edgedistill_loads_it(self) -> bool:
        """Whether the folder's model type is unknown to transformers, optimum and transformers.js."""
        return self.loads_in == ("edgedistill",)

    @property
    def on_recipe_data(self) -> bool:
        """Whether the figures are on the recipe's test set, not on the round's own."""
        return self.own_teacher is None


class Percentiles(_Part):
    """Percentiles of a figure over all runs; 95% of the runs are at least as good as p95. Null if there are too few
    runs."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p50_ci: Interval | None = None
    p95_ci: Interval | None = None
    runs: int


class Latency(Percentiles):
    """Milliseconds per inference."""


class SpeedResult(Percentiles):
    """One of the task's own speed figures."""

    name: str
    words: str
    """Its name in tables."""
    unit: str
    direction: Direction


class PromptResult(_Part):
    """A candidate timed on prompts of one length."""

    tokens: int
    phases_ms: dict[str, Latency]
    speeds: tuple[SpeedResult, ...]


class _Candidate(_Part):
    """A candidate's identity."""

    id: str
    model: str
    """A round id, or `teacher`."""
    target: str
    precision: str
    runtime: str


class _TimedCandidate(_Candidate):
    """The identity of a timed candidate."""

    threads: int
    batch: int


class UnmeasuredResult(_TimedCandidate):
    """A candidate without figures: `refused` if its target or runtime does not support it, `failed` if something went
    wrong."""

    state: Literal["refused", "failed"]
    reason: str


class EmulatedResult(_Candidate, _Judged):
    """A file run with another processor's kernels under emulation, on some of the items, evenly spaced; its figures
    refer to these. Cost is counted in instructions; since emulation says nothing about time, it cannot be chosen.
    `here` is the same file on the same items with a native runtime, if the run has one."""

    NEEDED: ClassVar[tuple[str, ...]] = ("test",)
    SHOWN: ClassVar[tuple[str, ...]] = ("id", "cpu", "file_bytes", "instructions_per_inference")

    state: Literal["emulated"] = "emulated"
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
    """Share of equal answers on these items of test with the native runtime."""
    instructions_per_inference: float
    counted_inputs: int


class RuntimeSizeResult(_Part):
    """The exporter's estimate of a minimal runtime for a file."""

    bytes: int
    operators: int
    unknown: tuple[str, ...]
    """Operators not included in the estimate."""
    basis: str


class SpeedUpResult(Estimate):
    """Median latency of an fp32 file divided by a quantized one's, timed in turns; above 1 is faster."""

    low: float
    high: float
    over: str
    """The fp32 candidate: the same model, target, runtime, threads and batch."""

    @property
    def verdict(self) -> str:
        """In words."""
        return "faster" if self.low > 1 else "slower" if self.high < 1 else "no difference shown"


class TextsReadResult(_Part):
    """Token ids of many strings, compared with the model's tokenizer."""

    by: str
    """Their source: the file's own tokenizer, or `tokenizer.json` beside it."""
    texts: int
    """The 256 single bytes among them."""
    otherwise: int
    bytes_otherwise: int
    shown: tuple[str, ...] = ()
    """The shortest texts that were tokenized differently, as Python literals."""


class CandidateResult(_TimedCandidate, _Judged):
    """One model's files under one runtime."""

    SHOWN: ClassVar[tuple[str, ...]] = ("id", "file_bytes", "within_limits", "blocked_by", "on_pareto_front")

    state: Literal["ok"] = "ok"
    reason: None = None
    file: str
    """The file that the runtime opens; for targets with fixed shapes, that for the longest inputs."""
    file_bytes: int
    """Of all that a device needs."""
    files: tuple[str, ...] = ()
    """All that a device needs."""
    lengths: tuple[int, ...] = ()
    """For targets with fixed shapes: the input lengths of the files."""
    facts: dict[str, JsonValue] = {}
    """The exporter's facts about the files."""
    search: MixSearch | None = None
    """If its mix was searched: every file that was tried."""
    runtime_size: RuntimeSizeResult | None = None
    """If the exporter estimates it."""
    backend: dict[str, JsonValue] = {}
    """The actual backend, as reported by the runtime."""
    drop: Difference
    """From the PyTorch teacher, on validation; the limit applies to this."""
    agreement_with_student: float
    agreement_batched: float | None = None
    """The same in padded batches of 16; None for a file that takes one item at a time."""
    validation_batched: float | None = None
    """The primary metric in such batches."""
    max_abs_diff: float
    mean_abs_diff: float
    mean_divergence: float
    """In the task's own measure: for a distribution, KL(PyTorch || file) in nats."""
    checks: dict[str, float] = {}
    """The task's additional checks of a file, as shares from 0 to 1."""
    texts_read: TextsReadResult | None = None
    """For a task that checks this."""
    host: str
    """Host that timed it, in `Results.hosts`."""
    latency_ms: Latency
    phases_ms: dict[str, Latency] = {}
    """Times of each phase, if there are several."""
    prompts: tuple[PromptResult, ...] = ()
    """For a task that is also timed on prompts, shortest first."""
    prompts_too_long: tuple[int, ...] = ()
    """Prompt lengths beyond the model's context."""
    tokenizer_bytes: int | None = None
    """Size of the tokenizer that a device needs in addition, 0 if the files contain it; null if unknown."""
    bytes_by_part: dict[str, int] = {}
    """Bytes of the file in its embeddings, attention, feed_forward, head, and all else (`graph`), if the exporter tells
    them apart."""
    throughput_per_s: float
    peak_rss_mb: float | None
    load_ms: float
    speed_up: SpeedUpResult | None = None
    """Over the fp32 file; null for that file itself, and if it was not measured."""
    worse_than_fp32: tuple[str, ...] = ()
    """Sentences on a quantized file that is slower or larger than its fp32 file."""
    integer_share: float | None = None
    """Of the multiply-adds of products with a constant weight, those in integer kernels; null for a file that is not
    ONNX."""
    float_products: dict[str, int] | None = None
    """Number of matrix products in floating point, by operator; null for a file that is not ONNX."""
    within_limits: bool
    blocked_by: tuple[str, ...]
    """Each limit that it exceeds, and each flaw beside its fp32 file that rules it out."""
    on_pareto_front: bool

    @property
    def marks(self) -> tuple[str, ...]:
        """The sentences of `worse_than_fp32` that do not block it."""
        return tuple(sentence for sentence in self.worse_than_fp32 if sentence not in self.blocked_by)


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
    def int8_isa(self) -> tuple[str, ...]:
        """Instruction sets that int8 kernels use."""
        return tuple(name for name in self.isa if name in INT8_ISA)

    @property
    def place(self) -> str:
        """Short description of the machine."""
        return f"{self.cpu}, {self.system}"


class DataResult(_Part):
    """Data for training and evaluation."""

    task: str
    options: dict[str, JsonValue] = {}
    """The task's options from the recipe."""
    examples: dict[str, int] = {}
    """By split."""
    duplicate_counts: dict[str, int] = {}
    """Number of texts of a split that are also in an earlier one, by `EARLIER/SPLIT`."""
    labels: int = 0
    """0 for a task without classes."""
    test_sha256: str | None = None

    @property
    def shown(self) -> dict[str, object]:
        """Readable facts about it."""
        return {name: value for name, value in self.model_dump().items() if name != "labels" or value}


class JudgementResult(_Part):
    """A round judged by the stopping rule, on validation."""

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
    """A decision on which an exported file and its PyTorch model differ."""

    text: str
    reference: str
    model: str
    device: str


HopKind = Literal["round", "export", "precision", "export and precision", "runtime"]


class FlippedText(_Part):
    """A decision that was right before a hop and is wrong after it, or the other way round."""

    text: str
    reference: str
    before: str
    after: str


class HopResult(_Part):
    """One model or file and the next, on the same examples of test."""

    kind: HopKind
    """What differs: `export and precision` if the fp32 file was not measured."""
    before: str
    after: str
    """`teacher`, a round, or files under a runtime, as `MODEL/TARGET/PRECISION/RUNTIME`."""
    figure: Figure
    """The primary metric after it."""
    drop: Difference
    agreement: float | None
    """Share of equal decisions; null if the two are asked for different ones, as with another tokenizer."""
    lost: int | None
    """Decisions that were right before and are wrong after; null without agreement, or for a task without correct
    answers."""
    won: int | None
    """Those that were wrong before and are right after."""
    lost_texts: tuple[FlippedText, ...] = ()
    won_texts: tuple[FlippedText, ...] = ()
    """The first of each."""


class LossBudgetResult(_Part):
    """What each hop from the teacher to a file cost."""

    candidate: str
    """The chosen one, otherwise the one with the best validation metric."""
    start: Figure
    """The teacher's primary metric on test."""
    hops: tuple[HopResult, ...]
    drop: Difference
    """From the teacher to the file; the hops' drops add up to it."""


class SizeResult(_Part):
    """Test examples of similar size, and every model's figures on them."""

    low: int
    high: int
    """Both ends belong to it."""
    unit: str
    examples: int
    figures: dict[str, tuple[Figure, ...]]
    """By model name or file id, the primary figure first."""


class SpokenResult(_Part):
    """A model's or file's continuation of a prefix."""

    by: str
    """`teacher`, a round, or files under a runtime, as `MODEL/TARGET/PRECISION/RUNTIME`."""
    text: str
    beside: str | None = None
    """The reference model: a round's teacher, a file's PyTorch model."""
    parts_at: int | None = None
    """Position of the first difference from it; null if equal."""


class GenerationResult(_Part):
    """A prefix of a test example, and its continuations."""

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
    flips: dict[str, tuple[Flip, ...]] = {}
    errors: dict[str, dict[str, tuple[ErrorText, ...]]] = {}
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
    check_words: dict[str, str] = {}
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
