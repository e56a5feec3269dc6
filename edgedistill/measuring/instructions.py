"""The cost of files under an emulated runtime: instructions of one run. Emulation says nothing about time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedistill import plugins
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.measuring.child import Child
from edgedistill.measuring.latency import backend_facts, load
from edgedistill.model_files import Opened
from edgedistill.progress import Progress, ProgressState

_WARM_UP = 3
COUNTED_INPUTS = 32


@dataclass(frozen=True)
class Counted:
    """Files whose instructions are to be counted."""

    id: str
    files: Opened
    runtime: str
    batch: int
    inputs: Path
    """Real inputs, as `Ragged.save` wrote them; 32 batches of them are run."""
    cpu: str


@dataclass(frozen=True)
class Cost:
    """Instructions of one run with one thread, the mean over `inputs` real inputs."""

    instructions_per_inference: float
    inputs: int
    runtime_version: str
    backend: Mapping[str, object]
    """What ran it, as the runtime tells."""


def count_instructions(
    files: Sequence[Counted], scratch: Path, progress: Progress, *, length: int | None, timeout_seconds: float
) -> tuple[dict[str, Cost], dict[str, EdgedistillError]]:
    """Count all files, one after the other: counts don't drift. What was counted, and why the rest was not, by id.

    Args:
        length: pad or cut every input to this many tokens; None: real lengths.
        timeout_seconds: longest time for one answer of a process.
    """
    seen: dict[str, Cost] = {}
    failed: dict[str, EdgedistillError] = {}
    progress.start("instructions", len(files))
    for number, each in enumerate(files):
        log = scratch / f"counter-{number}.log"
        try:
            with Child.of_runtime(each.runtime, log, cpu=each.cpu, timeout_seconds=timeout_seconds) as child:
                child.ask("inputs", file=str(each.inputs), batch=each.batch, length=length)
                loaded = load(child, each.files, each.runtime, 1, _WARM_UP)
                counted = child.ask("count", batches=COUNTED_INPUTS)
            figure, inputs = float(str(counted["instructions_per_inference"])), int(str(counted["inputs"]))
            seen[each.id] = Cost(figure, inputs, str(loaded["version"]), backend_facts(loaded))
        except EdgedistillError as error:
            failed[each.id] = error
        progress.advance(ProgressState("instructions", number + 1, len(files)))
    progress.stop()
    return seen, failed


def answer_and_count(
    files: Opened,
    runtime: str,
    task: str,
    asked: Mapping[str, tuple[Path, Path]],
    counted: str,
    cpu: str,
    scratch: Path,
    *,
    length: int | None,
    timeout_seconds: float,
) -> Cost:
    """Have files answer splits and count their instructions on one of these, in one process: an emulated one takes long
    to start.

    Args:
        asked: by split, its inputs and the file for its rows.
        counted: the split whose inputs are counted, one by one.
        length: pad or cut every counted input to this many tokens; None: real lengths.
        timeout_seconds: longest time for one answer of the process.

    Raises:
        EdgedistillError: the runtime isn't installed, the files cannot be run, or not by the processor named.
    """
    module = plugins.find("tasks", task).__name__
    log = scratch / "emulation.log"
    with Child.of_runtime(runtime, log, task=task, cpu=cpu, timeout_seconds=timeout_seconds) as child:
        loaded = load(child, files, runtime, 1, 0)
        for inputs, rows in asked.values():
            child.ask("answer", file=str(inputs), output=str(rows), task=module)
        child.ask("inputs", file=str(asked[counted][0]), batch=1, length=length)
        seen = child.ask("count", batches=COUNTED_INPUTS)
    figure, inputs_counted = float(str(seen["instructions_per_inference"])), int(str(seen["inputs"]))
    return Cost(figure, inputs_counted, str(loaded["version"]), backend_facts(loaded))


def emulated(runtime: str) -> bool:
    """Whether what this runtime runs is emulated, and so is counted and not timed."""
    packages = plugins.find("runtimes", runtime).PACKAGES
    return packages.emulated is not None


def refuse_options(runtime: str, *options: object) -> None:
    """Refuse options of emulation (None: not given) for a runtime that isn't emulated.

    Raises:
        UserError: one is given.
    """
    if any(option is not None for option in options) and not emulated(runtime):
        raise UserError(f"measure: got options of emulation (--emulated-...), but {runtime} is not emulated")
