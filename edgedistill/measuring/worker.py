"""The child process: one model's files, one runtime, commands on stdin, answers on stdout, both JSON lines.

It imports as little as possible (numpy, safetensors and the runtime; torch only to export files), so that it runs in
any runtime's environment; plug-ins are named by reference (`package.module:RUNTIME`), since their entry points may not
be visible there. Peak memory is measured beyond the interpreter with numpy, the inputs and what the runtime needs only
in Python (`Packages.harness`), before the runtime is imported: it covers the runtime's library, the model and its
workspace.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.arrays import Array, evenly_spaced
from edgedistill.contracts.items import Items
from edgedistill.device import own_process
from edgedistill.device.answering import answer
from edgedistill.device.counting import instructions_of_a_run
from edgedistill.device.files import ComponentJson, of_json
from edgedistill.device.generation import generate, greedy_with_leads, likeliest_tokens
from edgedistill.device.graphs import OpenedModel
from edgedistill.device.sampling import Sampling
from edgedistill.device.timing import Turns, batches_of
from edgedistill.errors import EdgedistillError, RefusedError, UserError
from edgedistill.exporting.jobs import ExportJob, run_job
from edgedistill.isolation.emulation.guest import instructions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgedistill.contracts.driver import Driver
    from edgedistill.contracts.runtime import Runtime
    from edgedistill.device.decoding import Decoder

DATA = ""
"""Name of the inputs from the data."""
_WARM_UP_BESIDES = 3


class Worker:
    """Keeps the opened model, its task's driver and the inputs between commands."""

    def __init__(self) -> None:
        self._driver: Driver | None = None
        self._model: OpenedModel | None = None
        self._items: Items | None = None
        self._batches: dict[str, list[dict[str, Array]]] = {}
        self._turns: dict[str, Turns] = {}
        self._said: Iterator[int] | None = None

    def inputs(self, file: str, batch: int, length: int | None, name: str = DATA) -> dict[str, object]:
        """Read items and split them into batches in order, for each named set."""
        self._items = Items.open(Path(file))
        self._turns.pop(name, None)
        self._batches[name] = batches_of(self._items, batch, length)
        return {"batches": len(self._batches[name])}

    def load(
        self, files: Mapping[str, ComponentJson], runtime: str, driver: str, threads: int, warm_up: int
    ) -> dict[str, object]:
        """Open the files and time it; then check the backend, run a few inputs and read the peak memory. Time and
        memory are None under emulation.

        Args:
            runtime: its reference.
            driver: module of the task's device half.
            warm_up: number of runs on the data; a few on every other set of inputs.
        """
        own_process.pin(threads)
        module: Runtime = pkgutil.resolve_name(runtime)
        self._driver = importlib.import_module(driver).DRIVER
        assert self._driver is not None
        packages = module.packages
        for name in packages.harness:
            importlib.import_module(name)
        empty = own_process.status_mb("VmRSS")
        for name in packages.library or packages.imports[:1]:
            importlib.import_module(name)
        resettable = own_process.reset_peak()
        begun = time.perf_counter()
        self._model = OpenedModel(of_json(files), self._driver, module.open, threads)
        load_ms = (time.perf_counter() - begun) * 1e3
        for name in self._batches if warm_up else ():
            for _ in range(warm_up if name == DATA else min(warm_up, _WARM_UP_BESIDES)):
                self._run(name).run_next()
        peak = own_process.status_mb("VmHWM") if resettable else None
        above = peak - empty if peak is not None and empty is not None else None
        if themselves := self._model.measuring_themselves():
            load_ms = sum(graph.load_ms for graph in themselves)
            memory = [graph.memory_mb() for graph in themselves]
            told = [pair for pair in memory if pair is not None]
            whole = len(told) == len(memory)
            above, empty = (sum(own for own, _ in told), sum(bare for _, bare in told)) if whole else (None, None)
        here = packages.emulated is None
        return {
            "load_ms": load_ms if here else None,
            "peak_rss_mb": above if here else None,
            "empty_mb": empty if here else None,
            "version": module.version(),
            "backend": self._model.backend(),
            "ports": self._model.ports(),
            "longest": self._model.longest(),
        }

    def time(self, seconds: float, least: int, name: str = DATA) -> dict[str, object]:
        """Continue until both `seconds` and `least` runs are reached; milliseconds of each run by phase."""
        return {"samples_ms": self._run(name).run_for(seconds, least)}

    def count(self, batches: int) -> dict[str, object]:
        """Instructions per inference as counted by the emulator: the mean over `batches` evenly spaced batches."""
        driver, model, items = self._ready()
        given = self._batches[DATA]
        chosen = [given[i] for i in evenly_spaced(len(given), batches)]
        found = instructions_of_a_run(driver, model.graphs(items.columns), chosen, instructions)
        return {"instructions_per_inference": found, "inputs": len(chosen)}

    def answer(self, file: str, output: str, chosen: Sequence[int] | None = None, batch: int = 1) -> dict[str, object]:
        """Write the model's answers for items.

        Args:
            file: file of the items.
            chosen: their indices; None: all.
            batch: batch size, padded to the longest item.
        """
        import numpy as np

        items = Items.open(Path(file))
        assert self._driver is not None, "load comes first"
        assert self._model is not None, "load comes first"
        asked = np.arange(len(items)) if chosen is None else np.asarray(chosen, np.int64)
        answer(self._driver, self._model.graphs(items.columns), items, asked, batch).save(Path(output))
        return {"items": len(asked)}

    def probe(self, file: str, output: str) -> dict[str, object]:
        """Write the additional outputs for verification for these items."""
        from safetensors.numpy import save_file

        items = Items.open(Path(file))
        assert self._driver is not None, "load comes first"
        assert self._driver.probe is not None, "its judge has checks"
        assert self._model is not None, "load comes first"
        save_file(dict(self._driver.probe(self._model.graphs(items.columns), items)), output)
        return {}

    def read(self, file: str) -> dict[str, object]:
        """Tokens of texts (a JSON list) from the tokenizer in the model's files; null if there is none."""
        assert self._model is not None, "load comes first"
        reader = self._model.reader()
        texts = json.loads(Path(file).read_text(encoding="utf-8"))
        return {"tokens": None if reader is None else [list(map(int, reader.encode(text))) for text in texts]}

    def begin(
        self, prompt: Sequence[int], limit: int, ends: Sequence[int], sampling: Mapping[str, float]
    ) -> dict[str, object]:
        """Start generating from a prompt's tokens; `say` returns each next one.

        Args:
            limit, ends: as for `generate`.
            sampling: the fields of `Sampling`.
        """
        self._said = generate(self._decoder(), prompt, limit, ends, Sampling(**sampling))  # type: ignore[arg-type]
        return {}

    def say(self) -> dict[str, object]:
        """The next token, or None at the end of the text."""
        assert self._said is not None, "begin comes first"
        return {"token": next(self._said, None)}

    def lead(self, prompt: Sequence[int], limit: int, ends: Sequence[int]) -> dict[str, object]:
        """A greedy continuation with leads (`device.generation.greedy_with_leads`)."""
        return {"tokens": list(greedy_with_leads(self._decoder(), prompt, limit, ends))}

    def follow(self, prompt: Sequence[int], tokens: Sequence[int]) -> dict[str, object]:
        """The most likely token in the place of each of these (`device.generation.likeliest_tokens`)."""
        return {"tokens": list(likeliest_tokens(self._decoder(), prompt, tokens))}

    def make(self, job: Mapping[str, object]) -> dict[str, object]:
        """Export a target's files."""
        return {"made": run_job(ExportJob(**job))}  # type: ignore[arg-type]

    def _decoder(self) -> Decoder:
        """A decoder with an empty cache."""
        assert self._driver is not None, "load comes first"
        assert self._driver.decoder is not None, "its task continues texts"
        assert self._model is not None, "load comes first"
        return self._driver.decoder(self._model.graphs({}))

    def _run(self, name: str) -> Turns:
        if name not in self._turns:
            driver, model, items = self._ready()
            self._turns[name] = Turns(driver, model.graphs(items.columns), self._batches[name], model.clock())
        return self._turns[name]

    def _ready(self) -> tuple[Driver, OpenedModel, Items]:
        assert self._driver is not None, "load comes first"
        assert self._model is not None, "load comes first"
        assert self._items is not None, "inputs come first"
        return self._driver, self._model, self._items


def main() -> None:
    """Answer commands until stdin closes. A failing command answers with its traceback."""
    own_process.die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of a runtime must not be mixed with the answers
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
                "kind": _kind(error),
                "traceback": traceback.format_exc(),
            }
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def _kind(error: Exception) -> str:
    """As what the parent raises it again."""
    return "refused" if isinstance(error, RefusedError) else "user" if isinstance(error, UserError) else "failed"


if __name__ == "__main__":
    main()
