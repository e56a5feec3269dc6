"""What a recipe makes of its students: files, how they are verified and measured, and which of them to choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from edgedistill.recipe.data_spec import DataSource
from edgedistill.spec import Name, NotInKey, Spec


class ExportSpec(Spec):
    """File formats to export, and whether the teacher is exported too."""

    targets: tuple[str, ...] = Field(("onnx",), min_length=1)
    """File formats to export to."""
    teacher: bool = True
    """Also export and measure the teacher: a quantized teacher is the baseline that students must beat."""
    buckets: tuple[Annotated[int, Field(ge=1)], ...] = Field((16, 32, 64, 128), min_length=1)
    """For targets with fixed shapes: one file for each of these input lengths, up to the longest input's, and one for
    the longest."""
    timeout_minutes: Annotated[float, NotInKey()] = Field(60.0, gt=0)
    """Time limit for exporting one file; beyond it the export fails."""

    @model_validator(mode="after")
    def _rising(self) -> ExportSpec:
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"expected 'buckets' in ascending order, got {list(self.buckets)}")
        return self


class VerifySpec(Spec):
    """How closely an exported file must match its PyTorch model on the validation set."""

    min_agreement: float = Field(0.985, ge=0, le=1)
    """Minimum share of decisions on which they agree; a candidate below it is never chosen."""


class EmulationSpec(Spec):
    """How runtimes for another processor are emulated; native runtimes ignore it."""

    cpu: Literal["cortex-a76", "cortex-a53"] = "cortex-a76"
    """Emulated CPU: `cortex-a76` has the int8 dot product, `cortex-a53` does not."""
    items: int | None = Field(300, ge=1)
    """Number of items of each split to run, evenly spaced, since emulation is slow; null: all."""


class MeasureSpec(Spec):
    """How candidates are benchmarked."""

    runtimes: Annotated[tuple[str, ...] | None, NotInKey()] = Field(None, min_length=1)
    """Runtimes to measure with; each target uses those that can open it. null: the target's default runtime."""
    threads: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1)
    """Thread counts to benchmark."""
    batch: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1)
    """Batch sizes to benchmark."""
    lengths: Literal["as_is"] | Annotated[int, Field(ge=1)] = "as_is"
    """Real lengths, or every input padded or truncated to this many tokens."""
    prompts: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(None, min_length=1)
    """Prompt lengths in tokens, for tasks that are also timed on prompts; null: the task's default. Prompts longer than
    a model's context are skipped. Limits and choice use the longest prompt on which all candidates were timed."""
    min_seconds: float = Field(5.0, gt=0)
    """Minimum time to benchmark each candidate, in seconds."""
    timeout_minutes: Annotated[float, NotInKey()] = Field(30.0, gt=0)
    """Time limit for one request to a candidate's process (load, predict a split, one timing pass); beyond it the
    candidate fails."""
    emulation: Annotated[EmulationSpec, NotInKey()] = EmulationSpec()
    """Settings of emulated runtimes."""


def with_drop(content: object) -> object:
    """Accept `accuracy_drop`, the name of `drop` from when accuracy was the only metric."""
    if not isinstance(content, dict) or "accuracy_drop" not in content:
        return content
    if "drop" in content:
        raise ValueError("got both 'drop' and 'accuracy_drop', its older name; expected one of them")
    return {"drop" if key == "accuracy_drop" else key: value for key, value in content.items()}


class Limits(Spec):
    """Limits on a shipped candidate; anything not given is unlimited."""

    file_mb: float | None = Field(None, gt=0)
    """Size of the model's files, in 10^6 bytes."""
    shipped_mb: float | None = Field(None, gt=0)
    """Size of the model's files and the tokenizer that a device needs beside them, in 10^6 bytes."""
    p95_ms: float | None = Field(None, gt=0)
    """95th percentile latency, in milliseconds."""
    peak_rss_mb: float | None = Field(None, gt=0)
    """Peak memory beyond an interpreter with numpy and the inputs, in 10^6 bytes."""
    load_ms: float | None = Field(None, gt=0)
    """Time from opening the file to a session that is ready to run, in milliseconds."""
    ttft_ms: float | None = Field(None, gt=0)
    """Median time to the first token of a language model, in milliseconds."""
    tokens_per_s: float | None = Field(None, gt=0)
    """Median decoding speed after the first token, in tokens per second: a minimum."""
    drop: float | None = Field(None, ge=0)
    """Maximum drop from the teacher on validation, in the metric's units."""

    _older_name = model_validator(mode="before")(with_drop)


class EvaluateSpec(Spec):
    """Additional test sets for every model."""

    ood: Mapping[Name, DataSource] = Field(default_factory=dict)
    """Out-of-distribution test sets; items without a label, or with one not seen in training, are out of scope."""


class SelectSpec(Spec):
    """How to choose among the candidates within the limits."""

    limits: Limits = Limits()
    """A candidate that exceeds any of them is not chosen."""
    prefer: Annotated[
        Literal["metric", "latency", "size", "peak_rss_mb", "ttft_ms", "tokens_per_s"],
        BeforeValidator(lambda given: "metric" if given == "accuracy" else given),
    ] = "metric"
    """What to optimise among the candidates within the limits; `metric` (formerly `accuracy`) is the task's primary
    metric."""
    tie: float = Field(0.005, ge=0)
    """Validation scores within this distance of the best count as tied; the fastest of them wins (by p50 latency, for
    language models by `tokens_per_s`)."""
