"""What a bundle's self-test found on one machine: `bundle-results.json`, schema `edgedistill/measurement/1`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgedistill.errors import UserError
from edgedistill.results import Latency

MEASUREMENT_SCHEMA = "edgedistill/measurement/1"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class GoldenResult(_Part):
    """How the golden inputs were answered."""

    items: int
    tolerance: float
    max_abs_diff: float | None
    """None when an answer had another shape or was no number."""
    passed: bool
    wrong: tuple[str, ...]
    """A sentence for each wrong input."""
    tokens: str
    """Whether the text gave the same token ids here: `same`, or why it was not looked at."""


class DeviceMeasurement(_Part):
    """One bundle on one machine, or on an emulated processor, which is never timed. Without a right answer nothing is
    timed or counted."""

    schema_: str = Field(alias="schema")
    edgedistill: str
    recipe: str
    candidate: str
    """Of the run that wrote the bundle."""
    round: str
    target: str
    precision: str
    runtime: str
    runtime_version: str | None
    threads: int
    batch: int
    device_files: Mapping[str, str]
    """Name and sha256."""
    file_bytes: int
    machine: Mapping[str, object]
    backend: Mapping[str, object]
    """What really ran the file, as the runtime tells."""
    golden: GoldenResult
    latency_ms: Latency | None
    throughput_per_s: float | None
    load_ms: float | None
    peak_rss_mb: float | None
    emulated_cpu: str | None = None
    instructions_per_inference: float | None = None
    """Under an emulated runtime, in place of times: the mean over `counted_inputs` golden inputs."""
    counted_inputs: int | None = None
    date: str

    @property
    def place(self) -> str:
        """The machine in a few words: measurements with other words never share an axis."""
        if self.emulated_cpu is not None:
            return f"{self.emulated_cpu}, emulated"
        return f"{self.machine.get('cpu', 'unknown processor')}, {self.machine.get('system', 'unknown system')}"


def schema_of(file: Path) -> str | None:
    """What a file says that it is; None when it says nothing."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(content["schema"]) if isinstance(content, dict) and "schema" in content else None


def load_measurement(file: Path) -> DeviceMeasurement:
    """Read a results file.

    Raises:
        UserError: it isn't there, or is something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = content.get("schema") if isinstance(content, dict) else None
        if found != MEASUREMENT_SCHEMA:
            raise UserError(f"{file}: schema is {found!r}, expected '{MEASUREMENT_SCHEMA}'")
        return DeviceMeasurement.model_validate(content)
    except OSError:
        raise UserError(f"{file}: expected a results file of 'edgedistill measure BUNDLE'") from None
    except (ValidationError, ValueError) as error:
        raise UserError(f"{file}: is not a measurement: {' '.join(str(error).split())[:200]}") from None
