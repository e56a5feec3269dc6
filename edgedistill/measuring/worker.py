"""The child process: one model's files, one runtime, commands on stdin, answers on stdout, both JSON lines.

It imports as little as it can (numpy, safetensors and the runtime, no torch unless it makes files), so that the
environment of any runtime can run it; plug-ins are named by their modules, since entry points are not known there.
Peak memory is counted above what the interpreter holds with numpy, the inputs and what the runtime needs in Python only
(`Packages.harness`), before the runtime is imported: it is the runtime's library, the model and its work space.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.errors import EdgedistillError, RefusedError
from edgedistill.interfaces import MeasuresItself

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgedistill.arrays import Array
    from edgedistill.contracts.items import Items
    from edgedistill.interfaces import Session


_PR_SET_PDEATHSIG = 1
"""Of Linux, in linux/prctl.h."""


def status_mb(field: str) -> float | None:
    """A memory figure of `/proc/self/status`, None elsewhere than on Linux."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":")), None)


def reset_peak() -> bool:
    """Make the peak resident memory count from now."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def pin(threads: int) -> None:
    """Keep this process on as many cores as it has threads."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[: max(1, min(threads, len(allowed)))])


class Worker:
    """Holds the opened file and the inputs between commands."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.batches: list[dict[str, Array]] = []
        self.next = 0

    def load(
        self, files: Sequence[tuple[int | None, str]], runtime: str, threads: int, warm_up: int
    ) -> dict[str, object]:
        """Open the files, timed; then see what runs them, run a few inputs and read the peak memory. Time and memory of
        an emulated process are the emulator's: None.

        Args:
            files: by the length that each takes; one file under None takes all.
            runtime: module name.
        """
        import numpy as np  # noqa: F401 - the harness's own, so not the candidate's memory

        from edgedistill.measuring.buckets import Bucketed

        pin(threads)
        module = importlib.import_module(runtime)
        packages = module.PACKAGES
        for name in packages.harness:
            importlib.import_module(name)
        empty = status_mb("VmRSS")
        for name in packages.library or packages.imports[:1]:
            importlib.import_module(name)
        resettable = reset_peak()
        begun = time.perf_counter()
        sessions: dict[int | None, Session] = {length: module.open(Path(file), threads) for length, file in files}
        buckets = {length: session for length, session in sessions.items() if length is not None}
        self.session = Bucketed(buckets) if buckets else sessions[None]
        load_ms = (time.perf_counter() - begun) * 1e3
        for _ in range(warm_up):
            self._run_next()
        peak = status_mb("VmHWM") if resettable else None
        above = peak - empty if peak is not None and empty is not None else None
        own = packages.emulated is None
        if isinstance(self.session, MeasuresItself):
            load_ms = self.session.load_ms
            above, empty = self.session.memory_mb() or (None, None)
        return {
            "load_ms": load_ms if own else None,
            "peak_rss_mb": above if own else None,
            "empty_mb": empty if own else None,
            "version": module.version(),
            "inputs": self.session.input_names,
            "backend": self.session.backend(),
        }

    def inputs(self, file: str, batch: int, length: int | None) -> dict[str, object]:
        """Read the inputs and cut them into batches, in the data's own order."""
        from edgedistill.contracts.items import Items

        data = Items.open(Path(file))
        self.batches = [
            dict(data.batch(range(i, min(i + batch, len(data))), length)) for i in range(0, len(data), batch)
        ]
        full = [each for each in self.batches if len(next(iter(each.values()))) == batch]
        self.batches = full or self.batches
        return {"batches": len(self.batches)}

    def time(self, seconds: float, least: int) -> dict[str, object]:
        """Run on until both `seconds` and `least` runs are reached; milliseconds of each run."""
        samples: list[float] = []
        begun = time.perf_counter()
        while len(samples) < least or time.perf_counter() - begun < seconds:
            samples.append(self._run_next())
        return {"samples_ms": samples}

    def count(self, batches: int) -> dict[str, object]:
        """Instructions of one run, by the emulator's count: the mean over so many `batches`, evenly spread.

        They are run once, then twice more, and the difference is taken: what counting itself costs cancels.
        """
        from edgedistill.arrays import evenly_spaced
        from edgedistill.emulation.guest import instructions

        assert self.session is not None, "load comes first"
        chosen = [self.batches[i] for i in evenly_spaced(len(self.batches), batches)]
        marks = [instructions()]
        for each in (chosen, [*chosen, *chosen]):
            for batch in each:
                self.session.run(batch)
            marks.append(instructions())
        once, twice = marks[1] - marks[0], marks[2] - marks[1]
        return {"instructions_per_inference": (twice - once) / len(chosen), "inputs": len(chosen)}

    def answer(self, file: str, output: str, task: str, batch: int = 1, alone: str | None = None) -> dict[str, object]:
        """Run every item of a data file and write its rows; `task` is a module name.

        Args:
            batch: items at once, in the data's own order, padded to the longest of them.
            alone: for a batch of several, what this wrote for each item by itself: the same rows belong to each item.
        """
        import numpy as np

        from edgedistill.contracts.items import Items
        from edgedistill.tasks._former import Rows, device_rows, load_rows, save_rows

        data: Items = Items.open(Path(file))
        module = importlib.import_module(task)
        assert self.session is not None, "load comes first"
        parts = []
        for start in range(0, len(data), batch):
            inputs = data.batch(range(start, min(start + batch, len(data))))
            part = getattr(module, "device_rows", device_rows)(self.session.run(inputs), inputs)
            if part.ndim != 2:
                shape = " x ".join(map(str, part.shape))
                raise EdgedistillError(f"the file gives {shape} numbers, expected a row of logits for each decision")
            parts.append(part)
        if alone is None:
            offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        else:
            offsets = np.asarray(load_rows(Path(alone)).offsets)
        save_rows(Rows(np.concatenate(parts).astype(np.float32), offsets), Path(output))
        return {"items": len(data)}

    def make(self, order: Mapping[str, object]) -> dict[str, object]:
        """Make a target's files."""
        from edgedistill.exporting import Order, fill

        return {"made": fill(Order(**order))}  # type: ignore[arg-type]

    def _run_next(self) -> float:
        """Milliseconds of one run on the next batch."""
        assert self.session is not None, "load comes first"
        batch = self.batches[self.next % len(self.batches)]
        self.next += 1
        begun = time.perf_counter()
        self.session.run(batch)
        seen = (time.perf_counter() - begun) * 1e3
        return self.session.last_ms if isinstance(self.session, MeasuresItself) else seen


def die_with_parent() -> None:
    """Have the kernel end this process when its parent is killed: it may be busy for minutes. Elsewhere than on Linux
    it ends when it reads its next command."""
    if sys.platform == "linux":
        try:
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        except (ImportError, OSError, AttributeError):  # an interpreter without it, a C library of another kind
            return


def main() -> None:
    """Answer commands until stdin closes. A failing command answers with its traceback."""
    die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a runtime prints must not get between the answers
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        command = getattr(worker, request.pop("command"))
        try:
            reply = {"ok": command(**request)}
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            own = isinstance(error, EdgedistillError)
            reply = {
                "error": str(error) if own else f"{type(error).__name__}: {error}",
                "refused": isinstance(error, RefusedError),
                "traceback": traceback.format_exc(),
            }
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
