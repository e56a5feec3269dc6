"""Times several files at once: each in its own process, taking turns, so that drift of the machine hits all alike."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedistill.measuring.child import Child
from edgedistill.progress import Progress, ProgressState
from edgedistill.statistics import percentile, percentile_interval, runs_for

_BLOCKS = 10
_WARM_UP = 10
LEAST_RUNS = runs_for(99)


@dataclass(frozen=True)
class Timed:
    """A file to time."""

    id: str
    file: Path
    runtime: str
    threads: int
    batch: int
    inputs: Path
    """Real inputs, as `Ragged.save` wrote them."""


@dataclass(frozen=True)
class Timing:
    """What was seen of one file: every run in the order it was made."""

    id: str
    samples_ms: tuple[float, ...]
    load_ms: float
    peak_rss_mb: float | None
    empty_mb: float | None
    runtime_version: str
    batch: int

    def summary(self) -> dict[str, object]:
        """Percentiles (None where there are too few runs), intervals, runs a second."""
        samples = np.array(self.samples_ms)
        out: dict[str, object] = {f"p{q}": percentile(samples, q) for q in (50, 90, 95, 99)}
        for q in (50, 95):
            interval = percentile_interval(samples, q)
            out[f"p{q}_ci"] = [interval.low, interval.high] if interval else None
        out["runs"] = len(samples)
        return out

    @property
    def throughput_per_s(self) -> float:
        """Items a second, one run after the other."""
        return 1e3 * self.batch * len(self.samples_ms) / sum(self.samples_ms)


def time_files(
    files: Sequence[Timed],
    scratch: Path,
    progress: Progress,
    *,
    min_seconds: float,
    length: int | None = None,
) -> list[Timing]:
    """Time all files, each for at least `min_seconds` and enough runs for the p99, in ten turns.

    Args:
        length: pad or cut every input to this many tokens; None: real lengths.
    """
    samples: dict[str, list[float]] = {each.id: [] for each in files}
    loaded: dict[str, dict[str, object]] = {}
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for number, each in enumerate(files):
            child = stack.enter_context(Child(scratch / f"worker-{number}.log"))
            child.ask("inputs", file=str(each.inputs), batch=each.batch, length=length)
            loaded[each.id] = child.ask(
                "load", file=str(each.file), runtime=each.runtime, threads=each.threads, warm_up=_WARM_UP
            )
            children[each.id] = child
        progress.start("latency", _BLOCKS * len(files))
        done = 0
        for _ in range(_BLOCKS):
            for each in files:
                least = -(-LEAST_RUNS // _BLOCKS)
                answer = children[each.id].ask("time", seconds=min_seconds / _BLOCKS, least=least)
                runs = answer["samples_ms"]
                assert isinstance(runs, list)
                samples[each.id] += runs
                done += 1
                progress.advance(ProgressState("latency", done, _BLOCKS * len(files)))
        progress.stop()
    return [
        Timing(
            id=each.id,
            samples_ms=tuple(samples[each.id]),
            load_ms=float(str(loaded[each.id]["load_ms"])),
            peak_rss_mb=_number(loaded[each.id]["peak_rss_mb"]),
            empty_mb=_number(loaded[each.id]["empty_mb"]),
            runtime_version=str(loaded[each.id]["version"]),
            batch=each.batch,
        )
        for each in files
    ]


def answers(file: Path, runtime: str, inputs: Path, output: Path, task: str, scratch: Path) -> None:
    """Run every item by itself through a file, in a process of its own, and write the rows to `output`."""
    with Child(scratch / "answers.log") as child:
        child.ask("load", file=str(file), runtime=runtime, threads=1, warm_up=0)
        child.ask("answer", file=str(inputs), output=str(output), task=task)


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))
