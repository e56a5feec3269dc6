"""What was measured of a model file that no run made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgedistill.evaluation.results import Figure


@dataclass(frozen=True)
class FileMeasurement:
    """What was measured of a lone model file."""

    file: str
    file_bytes: int
    runtime: str
    threads: int
    batch: int
    items: int
    """Asked, of the data's `items_of`."""
    items_of: int
    figures: tuple[Figure, ...]
    """The asked metric first; none where the data has no labels."""
    backend: Mapping[str, object]
    """What ran it, as the runtime tells."""
    client: Mapping[str, object]
    """What the library makes of the file by which the runtime's users load it; empty where there is none."""
    latency_ms: Mapping[str, object] | None = None
    """None under an emulated runtime, as every time and memory is."""
    throughput_per_s: float | None = None
    load_ms: float | None = None
    peak_rss_mb: float | None = None
    instructions_per_inference: float | None = None
    """Under an emulated runtime, in place of times: the mean over `counted_inputs` of the items."""
    counted_inputs: int | None = None
    phases_ms: Mapping[str, object] = field(default_factory=dict)
    """`latency_ms` of each phase, where a run has several."""
    prompts: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    """By length in tokens, percentiles of each of the task's figures of speed; of a task that has none, empty."""
