"""Of the steps that make device files and run them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from pydantic import JsonValue

from edgedistill.store.records.base import FileName, Record, Spec
from edgedistill.store.records.samples import Sample


class FileId(NamedTuple):
    """One model's files of one target and precision."""

    model: str
    target: str
    precision: str

    def __str__(self) -> str:
        return "-".join(self)


class VerifyId(NamedTuple):
    """Files under a runtime: what they answer does not depend on how they are timed."""

    model: str
    target: str
    precision: str
    runtime: str

    def __str__(self) -> str:
        return "-".join(self)


class OpenedFile(Spec):
    """What a runtime opens: for inputs of one length, or (None) of every length."""

    length: int | None
    file: FileName


class MadeComponent(Spec):
    """The files of one component, and the tensors that they take and give, in their order."""

    files: tuple[OpenedFile, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class ShapeChecked(Spec):
    """A file against its torch model on one padded batch."""

    batch: int
    length: int
    max_abs_diff: float


class MadeFiles(Record):
    """The files of a model in one target and precision; all that is published beside it belongs to them."""

    SCHEMA: ClassVar[str] = "made-files/2"

    components: Mapping[str, MadeComponent]
    build_files: tuple[FileName, ...]
    """For building the runtime; no device needs them."""
    checks: tuple[tuple[ShapeChecked, ...], ...]
    """Of each file that is opened, component by component."""
    facts: Mapping[str, JsonValue]
    """What the exporter tells besides."""


class Flip(Spec):
    """A decision in which a device file differs from its torch model, with what is right where that is known."""

    text: str
    reference: str
    model: str
    device: str


class FidelityFigures(Spec):
    """How closely a file repeats its torch model: agreement of decisions, differences of raw numbers, divergence in the
    task's own measure."""

    agreement: float
    max_abs_diff: float
    mean_abs_diff: float
    mean_divergence: float
    max_divergence: float


class TextsRead(Spec):
    """Token ids of many strings, compared with the model's tokenizer."""

    by: str
    """Their source: the file's own tokenizer, or `tokenizer.json` beside it."""
    texts: int
    """The 256 single bytes among them."""
    otherwise: int
    bytes_otherwise: int
    """Of these, single bytes."""
    shown: tuple[str, ...]
    """The shortest texts that were tokenized differently, as Python literals."""


class Verified(Record):
    """A file against its torch model on the whole validation set, item by item."""

    SCHEMA: ClassVar[str] = "verified/2"

    answers: FileName
    answers_batched: FileName | None
    """Of padded batches; None for files that take one item at a time."""
    backend: Mapping[str, JsonValue]
    """What ran it, as the runtime tells."""
    fidelity: FidelityFigures
    value: float
    """The primary metric."""
    agreement_batched: float | None
    value_batched: float | None
    flips: tuple[Flip, ...]
    """None of a task that doesn't list them."""
    checks: Mapping[str, float] = {}
    """Shares from 0 to 1 by name, of a task that checks more than answers (`Judge.checks`)."""
    texts_read: TextsRead | None = None
    """Of such a task, where it reads text."""


class Percentiles(Spec):
    """Of a figure of every run: the p95 is what 95% of the runs are at least as good as. One that the number of runs
    cannot support is None."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    p50_ci: tuple[float, float] | None
    p95_ci: tuple[float, float] | None
    runs: int


class Latency(Percentiles):
    """Milliseconds per inference."""


class PromptMeasurement(Spec):
    """What was seen of one candidate on prompts of one length."""

    tokens: int
    phases_ms: Mapping[str, Latency]
    speeds: Mapping[str, Percentiles]
    """By the name of the task's figure (`Task.prompts`)."""
    samples_ms: Mapping[str, tuple[float, ...]]
    """Every run by phase, in the order it was made."""


class Measurement(Spec):
    """What was seen of one candidate."""

    latency_ms: Latency
    phases_ms: Mapping[str, Latency]
    """Of each phase; empty where a run is one phase."""
    throughput_per_s: float
    load_ms: float
    peak_rss_mb: float | None
    empty_mb: float | None
    runtime_version: str
    file_bytes: int
    samples_ms: tuple[float, ...]
    """Every run in the order it was made."""
    prompts: tuple[PromptMeasurement, ...] = ()
    """Shortest first; of a task that has none, empty."""
    prompts_too_long: tuple[int, ...] = ()
    """Prompt lengths beyond the model's context."""
    tokenizer_bytes: int | None = None
    """Of the tokenizer that a device needs beside the files, 0 where they hold it; None of a task without one."""


class Measured(Record):
    """All candidates under measurement, on one machine."""

    SCHEMA: ClassVar[str] = "measured/2"

    candidates: Mapping[str, Measurement]
    """By id; what could not be measured is among the artifact's failures."""
    answers: Mapping[str, FileName]
    """By files under a runtime (`VerifyId` as text), what they answered to the test set."""
    references: FileName
    """The right answers there."""
    environment: Mapping[str, JsonValue]
    """The machine that measured, and the versions there."""
    samples: Mapping[str, tuple[Sample, ...]] = {}
    """By files under a runtime, how they went on from a few beginnings of test; empty of most tasks."""


class Emulated(Record):
    """A file on another processor's kernels, emulated: answers to some items, evenly spread, and instructions."""

    SCHEMA: ClassVar[str] = "emulated/2"

    validation: FileName
    test: FileName
    """What it answered."""
    cpu: str
    runtime_version: str
    backend: Mapping[str, JsonValue]
    items: int
    """How many items of the validation set it was asked, and how many there are."""
    items_of: int
    test_items: int
    test_items_of: int
    agreement_with_student: float
    max_abs_diff: float
    instructions_per_inference: float
    counted_inputs: int
