"""Times several files at once: each in its own process, taking turns, so that drift of the machine hits all alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgedistill import plugins
from edgedistill.errors import EdgedistillError
from edgedistill.measuring.child import Child
from edgedistill.model_files import Opened
from edgedistill.progress import Progress, ProgressState
from edgedistill.statistics import percentile, percentile_interval, runs_for

_BLOCKS = 10
_WARM_UP = 10
BATCHED = 16
"""Items in a padded batch, as a server would ask."""
LEAST_RUNS = runs_for(99)


@dataclass(frozen=True)
class Timed:
    """Files to time."""

    id: str
    files: Opened
    runtime: str
    threads: int
    batch: int
    inputs: Path
    """Real inputs, as `Items.save` wrote them."""


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
    backend: Mapping[str, object] = field(default_factory=dict)
    """What ran it."""

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


@dataclass(frozen=True)
class Timings:
    """What was timed, and why the rest could not be, by id."""

    seen: Mapping[str, Timing]
    failed: Mapping[str, EdgedistillError]


def time_files(
    files: Sequence[Timed],
    scratch: Path,
    progress: Progress,
    *,
    min_seconds: float,
    length: int | None = None,
    timeout_seconds: float = 1800.0,
) -> Timings:
    """Time all files, each for at least `min_seconds` and enough runs for the p99, in ten turns. One that fails drops
    out; the others go on.

    Args:
        length: pad or cut every input to this many tokens; None: real lengths.
        timeout_seconds: longest time for one answer of a process.
    """
    samples: dict[str, list[float]] = {each.id: [] for each in files}
    loaded: dict[str, dict[str, object]] = {}
    failed: dict[str, EdgedistillError] = {}
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for number, each in enumerate(files):
            try:
                log = scratch / f"worker-{number}.log"
                child = stack.enter_context(Child.of_runtime(each.runtime, log, timeout_seconds=timeout_seconds))
                child.ask("inputs", file=str(each.inputs), batch=each.batch, length=length)
                loaded[each.id] = load(child, each.files, each.runtime, each.threads, _WARM_UP)
                children[each.id] = child
            except EdgedistillError as error:
                failed[each.id] = error
        progress.start("latency", _BLOCKS * len(files))
        done = 0
        for _ in range(_BLOCKS):
            for each in files:
                done += 1
                if each.id not in failed:
                    try:
                        samples[each.id] += _turn(children[each.id], min_seconds / _BLOCKS)
                    except EdgedistillError as error:
                        failed[each.id] = error
                progress.advance(ProgressState("latency", done, _BLOCKS * len(files)))
        progress.stop()
    seen = {
        each.id: Timing(
            id=each.id,
            samples_ms=tuple(samples[each.id]),
            load_ms=float(str(loaded[each.id]["load_ms"])),
            peak_rss_mb=_number(loaded[each.id]["peak_rss_mb"]),
            empty_mb=_number(loaded[each.id]["empty_mb"]),
            runtime_version=str(loaded[each.id]["version"]),
            batch=each.batch,
            backend=backend_facts(loaded[each.id]),
        )
        for each in files
        if each.id not in failed
    }
    return Timings(seen, failed)


@dataclass(frozen=True)
class Answering:
    """Files that are to answer a whole split."""

    files: Opened
    runtime: str
    task: str
    timeout_seconds: float = 1800.0
    cpu: str | None = None
    """What an emulated runtime runs on."""


def answers(
    asked: Answering, inputs: Path, output: Path, scratch: Path, *, batched: Path | None = None
) -> dict[str, object]:
    """Run every item by itself through the files, in a process of its own; write the rows to `output` and return what
    ran them.

    Args:
        batched: where to write the rows of the same items in padded batches of `BATCHED`; None: they aren't asked so.

    Raises:
        EdgedistillError: the runtime isn't installed, the files cannot be run, or not by the backend they are for.
    """
    task = plugins.find("tasks", asked.task).__name__
    log = scratch / "answers.log"
    with Child.of_runtime(
        asked.runtime, log, task=asked.task, cpu=asked.cpu, timeout_seconds=asked.timeout_seconds
    ) as child:
        backend = backend_facts(load(child, asked.files, asked.runtime, 1, 0))
        child.ask("answer", file=str(inputs), output=str(output), task=task)
        if batched is not None:
            more = {"batch": BATCHED, "alone": str(output)}
            child.ask("answer", file=str(inputs), output=str(batched), task=task, **more)
    return backend


def load(child: Child, files: Opened, runtime: str, threads: int, warm_up: int) -> dict[str, object]:
    """Have a process open the files; what it says of that."""
    named = [(length, str(file)) for length, file in files.items()]
    module = plugins.find("runtimes", runtime).__name__
    return child.ask("load", files=named, runtime=module, threads=threads, warm_up=warm_up)


def _turn(child: Child, seconds: float) -> list[float]:
    runs = child.ask("time", seconds=seconds, least=-(-LEAST_RUNS // _BLOCKS))["samples_ms"]
    assert isinstance(runs, list)
    return runs


def backend_facts(loaded: Mapping[str, object]) -> dict[str, object]:
    """What ran a file, of the child's answer to `load`."""
    facts = loaded["backend"]
    assert isinstance(facts, dict)
    return facts


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))
