"""The cost of files under an emulated runtime: instructions of one run. Emulation says nothing about time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgedistill import plugins
from edgedistill.errors import UserError
from edgedistill.measuring.child import Child
from edgedistill.measuring.latency import backend_facts, load
from edgedistill.model_files import Opened

_WARM_UP = 3
COUNTED_INPUTS = 32


@dataclass(frozen=True)
class Cost:
    """Instructions of one run with one thread, the mean over `inputs` real inputs."""

    instructions_per_inference: float
    inputs: int
    runtime_version: str
    backend: Mapping[str, object]
    """What ran it, as the runtime tells."""


def count_instructions(
    files: Opened,
    runtime: str,
    batch: int,
    inputs: Path,
    cpu: str,
    scratch: Path,
    *,
    length: int | None = None,
    timeout_seconds: float = 1800.0,
) -> Cost:
    """Count files' instructions on real inputs, as `Items.save` wrote them; 32 batches of them are run.

    Args:
        length: pad or cut every input to this many tokens; None: real lengths.
        timeout_seconds: longest time for one answer of the process: emulation is slow.

    Raises:
        EdgedistillError: the runtime isn't installed, the files cannot be run, or not by the processor named.
    """
    with Child.of_runtime(runtime, scratch / "counter.log", cpu=cpu, timeout_seconds=timeout_seconds) as child:
        child.ask("inputs", file=str(inputs), batch=batch, length=length)
        loaded = load(child, files, runtime, 1, _WARM_UP)
        return _cost(child, loaded)


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
        return _cost(child, loaded)


def _cost(child: Child, loaded: Mapping[str, object]) -> Cost:
    """Of files that have run before: what the first runs alone cost would be taken off."""
    seen = child.ask("count", batches=COUNTED_INPUTS)
    figure, inputs = float(str(seen["instructions_per_inference"])), int(str(seen["inputs"]))
    return Cost(figure, inputs, str(loaded["version"]), backend_facts(loaded))


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
