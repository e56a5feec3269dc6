"""What was measured of a model file that no run made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgedistill.evaluation.results_figures import Figure


@dataclass(frozen=True)
class FileMeasurement:
    """Measurements of a single model file."""

    file: str
    file_bytes: int
    runtime: str
    threads: int
    batch: int
    items: int
    """Items run, of the data's `items_of`."""
    items_of: int
    figures: tuple[Figure, ...]
    """The requested metric first; empty if the data has no labels."""
    backend: Mapping[str, object]
    """The backend, as reported by the runtime."""
    client: Mapping[str, object]
    """Results of the client library with which the runtime's users load the file; empty if there is none."""
    latency_ms: Mapping[str, object] | None = None
    """None for an emulated runtime, like every time and memory figure."""
    throughput_per_s: float | None = None
    load_ms: float | None = None
    peak_rss_mb: float | None = None
    instructions_per_inference: float | None = None
    """For an emulated runtime, instead of times: the mean over `counted_inputs` of the items."""
    counted_inputs: int | None = None
    phases_ms: Mapping[str, object] = field(default_factory=dict)
    """`latency_ms` of each phase, if there are several."""
    prompts: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    """Percentiles of each of the task's speed figures, by prompt length in tokens; empty for a task without any."""
