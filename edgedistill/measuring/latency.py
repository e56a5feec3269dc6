"""Times several models, each in its own process, interleaved so that machine drift affects all alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgedistill.arrays import Floats
from edgedistill.contracts.metric import Direction
from edgedistill.errors import EdgedistillError
from edgedistill.evaluation.statistics import percentile, percentile_interval, runs_for
from edgedistill.measuring.child import Child
from edgedistill.measuring.device_model import DeviceModel, Loaded
from edgedistill.store.progress import Progress, ProgressState

_BLOCKS = 10
_WARM_UP = 10
LEAST_RUNS = runs_for(99)
LEAST_RUNS_OF_PROMPTS = runs_for(95)
"""Runs at each length; long prompts are slow."""


@dataclass(frozen=True)
class Timed:
    """A model to time."""

    id: str
    model: DeviceModel
    threads: int
    batch: int
    inputs: Path
    """Real inputs, in a file from `Items.save`."""
    prompts: Mapping[int, Path] = field(default_factory=dict)
    """Further inputs to time separately, by length in tokens."""


@dataclass(frozen=True)
class Timing:
    """Timings of one model: every run in order."""

    id: str
    samples_ms: tuple[float, ...]
    load_ms: float
    peak_rss_mb: float | None
    empty_mb: float | None
    runtime_version: str
    batch: int
    backend: Mapping[str, object] = field(default_factory=dict)
    """The backend."""
    phases_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Times of each phase per run; empty if a run is one phase."""
    prompts_ms: Mapping[int, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    """The same for prompts, by length; includes the phase even if there is only one."""
    passes: tuple[int, ...] = ()
    """Number of runs in each pass."""

    def summary(self) -> dict[str, object]:
        """Percentiles (None if there are too few runs), intervals, runs per second."""
        return summary_of(np.array(self.samples_ms))

    def phases(self) -> dict[str, dict[str, object]]:
        """The same for each phase."""
        return {phase: summary_of(np.array(samples)) for phase, samples in self.phases_ms.items()}

    @property
    def throughput_per_s(self) -> float:
        """Items per second, running sequentially."""
        return 1e3 * self.batch * len(self.samples_ms) / sum(self.samples_ms)


@dataclass(frozen=True)
class Timings:
    """Timings, and failures with reasons, by id."""

    seen: Mapping[str, Timing]
    failed: Mapping[str, EdgedistillError]


def summary_of(samples: Floats, direction: Direction = "lower") -> dict[str, object]:
    """Percentiles (None if there are too few samples), their intervals, and the number of samples.

    Args:
        direction: which of two samples is better; 95% of samples are at least as good as p95.
    """
    sign = 1 if direction == "lower" else -1
    out: dict[str, object] = {}
    for q in (50, 90, 95, 99):
        found = percentile(sign * samples, q)
        out[f"p{q}"] = None if found is None else sign * found
    for q in (50, 95):
        interval = percentile_interval(sign * samples, q)
        out[f"p{q}_ci"] = sorted([sign * interval.low, sign * interval.high]) if interval else None
    out["runs"] = len(samples)
    return out


def time_models(
    models: Sequence[Timed],
    scratch: Path,
    progress: Progress,
    *,
    min_seconds: float,
    length: int | None = None,
) -> Timings:
    """Time all models in ten interleaved passes, each model for at least `min_seconds` and enough runs for p99; then
    prompts of all lengths together for as long again, with enough runs of each for p95. Failing models drop out, and
    the others continue.

    Args:
        length: pad or truncate every input to this many tokens; None: real lengths.
    """
    samples: dict[str, list[Sequence[Mapping[str, float]]]] = {timed.id: [] for timed in models}
    of_prompts: dict[str, dict[int, list[Mapping[str, float]]]] = {
        timed.id: {tokens: [] for tokens in timed.prompts} for timed in models
    }
    loaded: dict[str, Loaded] = {}
    failed: dict[str, EdgedistillError] = {}
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for number, timed in enumerate(models):
            try:
                child = stack.enter_context(timed.model.process(scratch / f"worker-{number}.log"))
                child.ask("inputs", file=str(timed.inputs), batch=timed.batch, length=length)
                for tokens, file in timed.prompts.items():
                    child.ask("inputs", file=str(file), batch=timed.batch, length=None, name=str(tokens))
                loaded[timed.id] = timed.model.load(child, timed.threads, _WARM_UP)
                children[timed.id] = child
            except EdgedistillError as error:
                failed[timed.id] = error
        progress.start("latency", _BLOCKS * len(models))
        done = 0
        for _ in range(_BLOCKS):
            for timed in models:
                done += 1
                if timed.id not in failed:
                    try:
                        samples[timed.id].append(_turn(children[timed.id], min_seconds, LEAST_RUNS))
                        for tokens, runs in of_prompts[timed.id].items():
                            seconds = min_seconds / len(timed.prompts)
                            runs += _turn(children[timed.id], seconds, LEAST_RUNS_OF_PROMPTS, name=str(tokens))
                    except EdgedistillError as error:
                        failed[timed.id] = error
                progress.advance(ProgressState("latency", done, _BLOCKS * len(models)))
        progress.stop()
    seen = {
        timed.id: _timing(timed, loaded[timed.id], samples[timed.id], of_prompts[timed.id])
        for timed in models
        if timed.id not in failed
    }
    return Timings(seen, failed)


def time_one(timed: Timed, scratch: Path, progress: Progress, *, min_seconds: float, length: int | None) -> Timing:
    """One model's timing.

    Raises:
        EdgedistillError: it could not be timed.
    """
    timings = time_models([timed], scratch, progress, min_seconds=min_seconds, length=length)
    if timed.id in timings.failed:
        raise timings.failed[timed.id]
    return timings.seen[timed.id]


def _turn(child: Child, seconds: float, least: int, **name: str) -> list[Mapping[str, float]]:
    """One of ten passes, given the total seconds and runs."""
    runs = child.ask("time", seconds=seconds / _BLOCKS, least=-(-least // _BLOCKS), **name)["samples_ms"]
    assert isinstance(runs, list)
    return runs


def _timing(
    timed: Timed,
    loaded: Loaded,
    passes: Sequence[Sequence[Mapping[str, float]]],
    of_prompts: Mapping[int, Sequence[Mapping[str, float]]],
) -> Timing:
    runs = [run for own in passes for run in own]
    phases = _by_phase(runs)
    assert loaded.load_ms is not None, "an emulated runtime is not timed"
    return Timing(
        id=timed.id,
        samples_ms=tuple(sum(run.values()) for run in runs),
        load_ms=loaded.load_ms,
        peak_rss_mb=loaded.peak_rss_mb,
        empty_mb=loaded.empty_mb,
        runtime_version=loaded.version,
        batch=timed.batch,
        backend=loaded.backend,
        phases_ms=phases if len(phases) > 1 else {},
        prompts_ms={tokens: _by_phase(own) for tokens, own in of_prompts.items()},
        passes=tuple(map(len, passes)),
    )


def _by_phase(runs: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    phases = dict.fromkeys(phase for run in runs for phase in run)
    return {phase: tuple(run.get(phase, 0.0) for run in runs) for phase in phases}
