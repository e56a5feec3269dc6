"""What results say of each candidate: its files, its figures and how fast it is."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from edgedistill.contracts.metric import Direction
from edgedistill.contracts.mix_search import MixSearch
from edgedistill.evaluation.results_figures import Difference, Estimate, Interval, Judged, Part


class Percentiles(Part):
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


class PromptResult(Part):
    """A candidate timed on prompts of one length."""

    tokens: int
    phases_ms: dict[str, Latency]
    speeds: tuple[SpeedResult, ...]


class _Candidate(Part):
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


class EmulatedResult(_Candidate, Judged):
    """A file run with another processor's kernels under emulation, on some of the items, evenly spaced; its figures
    refer to these. Cost is counted in instructions; since emulation says nothing about time, it cannot be chosen.
    `here` is the same file on the same items with a native runtime, if the run has one."""

    NEEDED: ClassVar[tuple[str, ...]] = ("test",)
    SHOWN: ClassVar[tuple[str, ...]] = ("id", "cpu", "file_bytes", "instructions_per_inference")

    state: Literal["emulated"] = "emulated"
    cpu: str
    file_bytes: int
    backend: dict[str, JsonValue] = Field(default_factory=dict)
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


class RuntimeSizeResult(Part):
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


class TextsReadResult(Part):
    """Token ids of many strings, compared with the model's tokenizer."""

    by: str
    """Their source: the file's own tokenizer, or `tokenizer.json` beside it."""
    texts: int
    """The 256 single bytes among them."""
    otherwise: int
    bytes_otherwise: int
    in_data: int | None = None
    """Of these, strings that occur in the texts of the data; null if unknown."""
    shown: tuple[str, ...] = ()
    """Texts that were tokenized differently, as Python literals: first those that occur in the data, the shortest
    first."""


class CandidateResult(_TimedCandidate, Judged):
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
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    """The exporter's facts about the files."""
    search: MixSearch | None = None
    """If its mix was searched: every file that was tried."""
    runtime_size: RuntimeSizeResult | None = None
    """If the exporter estimates it."""
    backend: dict[str, JsonValue] = Field(default_factory=dict)
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
    checks: dict[str, float] = Field(default_factory=dict)
    """The task's additional checks of a file, as shares from 0 to 1."""
    texts_read: TextsReadResult | None = None
    """For a task that checks this."""
    host: str
    """Host that timed it, in `Results.hosts`."""
    latency_ms: Latency
    phases_ms: dict[str, Latency] = Field(default_factory=dict)
    """Times of each phase, if there are several."""
    prompts: tuple[PromptResult, ...] = ()
    """For a task that is also timed on prompts, shortest first."""
    prompts_too_long: tuple[int, ...] = ()
    """Prompt lengths beyond the model's context."""
    tokenizer_bytes: int | None = None
    """Size of the tokenizer that a device needs in addition, 0 if the files contain it; null if unknown."""
    bytes_by_part: dict[str, int] = Field(default_factory=dict)
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
