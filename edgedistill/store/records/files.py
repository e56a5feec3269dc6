"""Records of steps that export files and run them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import JsonValue

from edgedistill.arrays import Floats
from edgedistill.contracts.mix_search import MixSearch
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
    """Files with a runtime; their answers do not depend on the benchmark settings."""

    model: str
    target: str
    precision: str
    runtime: str

    def __str__(self) -> str:
        return "-".join(self)


class OpenedFile(Spec):
    """A file that a runtime opens, for inputs of one length or (None) of every length."""

    length: int | None
    file: FileName


class MadeComponent(Spec):
    """The files of one component, with their inputs and outputs in order."""

    files: tuple[OpenedFile, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class ShapeChecked(Spec):
    """Comparison of a file with its PyTorch model on one padded batch."""

    batch: int
    length: int
    max_abs_diff: float


class MadeFiles(Record):
    """The files of a model in one target and precision, including everything published with them."""

    SCHEMA: ClassVar[str] = "made-files/2"

    components: Mapping[str, MadeComponent]
    build_files: tuple[FileName, ...]
    """For building the runtime; not needed on a device."""
    checks: tuple[tuple[ShapeChecked, ...], ...]
    """Of each file that is opened, component by component."""
    facts: Mapping[str, JsonValue]
    """Further facts from the exporter."""


class SearchedFiles(MadeFiles):
    """The file of a mix that was searched."""

    SCHEMA: ClassVar[str] = "searched-files/1"

    search: MixSearch


class Flip(Spec):
    """A decision on which an exported file differs from its PyTorch model, with the right answer if known."""

    text: str
    reference: str
    model: str
    device: str


class FidelityFigures(Spec):
    """How closely a file matches its PyTorch model: agreement of decisions, differences of raw outputs, divergence in
    the task's own measure."""

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
    in_data: int
    """Of these, strings that occur in the texts of the data."""
    shown: tuple[str, ...]
    """Texts that were tokenized differently, as Python literals: first those that occur in the data, the shortest
    first."""


class Verified(Record):
    """Comparison of a file with its PyTorch model on the whole validation set, item by item."""

    SCHEMA: ClassVar[str] = "verified/3"

    answers: FileName
    answers_batched: FileName | None
    """On padded batches; None for files that take one item at a time."""
    backend: Mapping[str, JsonValue]
    """The backend, as reported by the runtime."""
    fidelity: FidelityFigures
    value: float
    """The primary metric."""
    agreement_batched: float | None
    value_batched: float | None
    flips: tuple[Flip, ...]
    """None for a task that does not list them."""
    checks: Mapping[str, float] = {}
    """Shares from 0 to 1 by name, for a task with additional checks (`Judge.checks`)."""
    texts_read: TextsRead | None = None
    """For such a task with text input."""

    def agreement_at(self, batch: int) -> float:
        """Agreement with PyTorch one item at a time (1), or in padded batches."""
        agreement = self.fidelity.agreement if batch == 1 else self.agreement_batched
        assert agreement is not None, "files that take one item at a time are refused a batch"
        return agreement


class Percentiles(Spec):
    """Percentiles of a figure over all runs; 95% of the runs are at least as good as p95. None if there are too few
    runs."""

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
    """Measurements of one candidate on prompts of one length."""

    tokens: int
    phases_ms: Mapping[str, Latency]
    speeds: Mapping[str, Percentiles]
    """By the name of the task's speed figure (`Task.prompts`)."""
    samples_ms: Mapping[str, tuple[float, ...]]
    """Every run by phase, in the order it was made."""


class Measurement(Spec):
    """Measurements of one candidate."""

    latency_ms: Latency
    phases_ms: Mapping[str, Latency]
    """Per phase; empty if a run is one phase."""
    throughput_per_s: float
    load_ms: float
    peak_rss_mb: float | None
    empty_mb: float | None
    runtime_version: str
    file_bytes: int
    samples_ms: tuple[float, ...]
    """Every run in the order it was made."""
    passes: tuple[int, ...]
    """Number of runs in each pass; the candidates took turns pass by pass."""
    prompts: tuple[PromptMeasurement, ...] = ()
    """Shortest first; empty for a task without prompts."""
    prompts_too_long: tuple[int, ...] = ()
    """Prompt lengths beyond the model's context."""
    tokenizer_bytes: int | None = None
    """Size of the tokenizer that a device needs in addition, 0 if the files contain it; None for a task without one."""

    @property
    def by_pass(self) -> list[Floats]:
        """The runs of each pass, in milliseconds."""
        return np.split(np.array(self.samples_ms), np.cumsum(self.passes)[:-1])


class Measured(Record):
    """Measurements of all candidates on one machine."""

    SCHEMA: ClassVar[str] = "measured/3"

    candidates: Mapping[str, Measurement]
    """By id; candidates that could not be measured are among the artifact's failures."""
    answers: Mapping[str, FileName]
    """Answers on the test set, by files with a runtime (`VerifyId` as text)."""
    references: FileName
    """The references on the test set."""
    environment: Mapping[str, JsonValue]
    """The machine that measured, and the versions there."""
    samples: Mapping[str, tuple[Sample, ...]] = {}
    """Continuations of a few test prefixes, by files with a runtime; empty for most tasks."""


class Emulated(Record):
    """A file run with another processor's kernels under emulation: answers on some items, evenly spaced, and
    instructions."""

    SCHEMA: ClassVar[str] = "emulated/2"

    validation: FileName
    test: FileName
    """Its answers."""
    cpu: str
    runtime_version: str
    backend: Mapping[str, JsonValue]
    items: int
    """Number of validation items run, and their total."""
    items_of: int
    test_items: int
    test_items_of: int
    agreement_with_student: float
    max_abs_diff: float
    instructions_per_inference: float
    counted_inputs: int
