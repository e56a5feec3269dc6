"""Results of a bundle's self-test on one machine: `bundle-results.json`, schema `edgedistill/measurement/2`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgedistill.bundling.fields import shown
from edgedistill.bundling.strict_json import read_object, read_value
from edgedistill.errors import UserError
from edgedistill.evaluation.results_candidates import Latency, Percentiles

MEASUREMENT_SCHEMA = "edgedistill/measurement/2"
MEASUREMENT_V1 = "edgedistill/measurement/1"
_RENAMED = {"round": "model", "machine": "host"}
"""Fields of schema 1."""

NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    """Closed and finite, since the file comes from another machine and its figures are shown beside local ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False, strict=True)


class GoldenResult(_Part):
    """The test on the golden inputs."""

    items: Positive
    tolerance: NotNegative
    max_abs_diff: NotNegative | None
    """None if an answer had another shape or was not finite."""
    passed: bool
    wrong: tuple[str, ...]
    """A sentence for each wrong input, and one on all continuations together if too few of their tokens agree."""
    tokens: str
    """Whether the text gave the same token ids here: `same`, `other`, or why it was not checked."""
    continued: Annotated[int, Field(ge=0)] | None = None
    """For a model that generates text: how many tokens of the golden continuations are the most likely here too."""
    continued_of: Positive | None = None
    """Of how many."""

    @model_validator(mode="after")
    def _agrees(self) -> GoldenResult:
        most = self.items + (self.continued_of is not None)
        if self.passed is bool(self.wrong) or len(self.wrong) > most:
            raise ValueError(f"passed is {self.passed} with {len(self.wrong)} wrong inputs of {self.items}")
        if (self.continued or 0) > (self.continued_of or 0):
            raise ValueError(f"continued is {self.continued} of {self.continued_of}")
        if self.passed and (self.max_abs_diff is None or self.max_abs_diff > self.tolerance):
            raise ValueError(f"passed with max_abs_diff {self.max_abs_diff}, tolerance {self.tolerance}")
        return self


class PromptSpeeds(_Part):
    """Speed with prompts of one length."""

    tokens: Positive
    speeds: Mapping[str, Percentiles]
    """The task's figures by name."""


class Host(_Part):
    """The machine that measured, as far as known."""

    cpu: str = "unknown processor"
    isa: Sequence[str] = ()
    threads: Positive | None = None
    memory_gb: NotNegative | None = None
    system: str = "unknown system"


class DeviceMeasurement(_Part):
    """One bundle on one machine, or on an emulated processor, which is never timed. Unless all answers are right,
    nothing is timed or counted."""

    schema_: str = Field(alias="schema")
    edgedistill: str
    recipe: str
    candidate: str
    """Of the run that wrote the bundle."""
    model: str
    """A round id, or `teacher`."""
    target: str
    precision: str
    runtime: str
    runtime_version: str | None
    threads: Positive
    batch: Positive
    device_files: Mapping[str, str]
    """Name and sha256."""
    file_bytes: Positive
    host: Host
    backend: Mapping[str, object]
    """The actual backend, as reported by the runtime."""
    golden: GoldenResult
    latency_ms: Latency | None
    prompts: tuple[PromptSpeeds, ...] = ()
    """For a model that generates text, shortest prompts first."""
    throughput_per_s: NotNegative | None
    load_ms: NotNegative | None
    peak_rss_mb: float | None
    emulated_cpu: str | None = None
    instructions_per_inference: NotNegative | None = None
    """For an emulated runtime, instead of times: the mean over `counted_inputs` golden inputs."""
    counted_inputs: Positive | None = None
    date: str

    @model_validator(mode="after")
    def _possible(self) -> DeviceMeasurement:
        latency = self.latency_ms
        if latency is not None:
            if not self.golden.passed or self.emulated_cpu is not None:
                raise ValueError("latency_ms for a file that answered wrongly or was emulated")
            figures = [
                percentile
                for percentile in (latency.p50, latency.p90, latency.p95, latency.p99)
                if percentile is not None
            ]
            if latency.runs < 1 or latency.model_extra or figures != sorted(figures) or min(figures, default=0) < 0:
                raise ValueError("latency_ms does not consist of ascending percentiles and their number of runs")
        return self

    @property
    def place(self) -> str:
        """Short description of the machine; measurements with different descriptions never share an axis."""
        if self.emulated_cpu is not None:
            return f"{self.emulated_cpu}, emulated"
        return f"{self.host.cpu}, {self.host.system}"


def schema_of(file: Path) -> str | None:
    """The declared schema of a file, or None."""
    try:
        content = read_value(file)
    except UserError:
        return None
    return str(content["schema"]) if isinstance(content, dict) and "schema" in content else None


def load_measurement(file: Path) -> DeviceMeasurement:
    """Read a results file, of schema 1 too.

    Raises:
        UserError: it is missing, or something else.
    """
    content = read_object(file)
    found = content.get("schema")
    if found == MEASUREMENT_V1:
        content = {_RENAMED.get(name, name): value for name, value in content.items()} | {"schema": MEASUREMENT_SCHEMA}
    elif found != MEASUREMENT_SCHEMA:
        raise UserError(f"{file}: schema is {shown(found)}, expected '{MEASUREMENT_SCHEMA}' or '{MEASUREMENT_V1}'")
    try:
        return DeviceMeasurement.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{file}: is not a measurement: {place}{': ' if place else ''}{first['msg'][:200]}") from None
