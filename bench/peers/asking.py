"""Runs files of several runtimes in one process, and writes what they say or how long they take.

    python -m bench.peers.asking JOB

A turn is one file's: a few runs untimed, since the others have used the caches and their threads may still spin, then a
few timed. A round is one turn of each file, in random order.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgedistill.arrays import Array, Arrays, Floats
from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames

ROOT = Path(__file__).parents[2]
OPENVINO_AS_IT_COMES = "openvino, default precision"
UNTIMED, TIMED, LEAST_ROUNDS = 2, 4, 5
LOGITS = "logits"


class Opened(Protocol):
    """A file, opened."""

    def run(self, feeds: Arrays) -> dict[str, Array]: ...


@dataclass(frozen=True)
class Job:
    """What to do with these files."""

    files: Mapping[str, tuple[str, str]]
    """Name -> runtime and path."""
    inputs: str
    """npz with `LENGTH/NUMBER/NAME`: (1, L) arrays of inputs by length (`0`: their own)."""
    out: str
    """npz that is written: `LENGTH/FILE` (rounds, runs) milliseconds, or `FILE` (N, C) logits."""
    threads: int
    seconds: float | None
    """Time for each length; None: no timing but the answers to the inputs of length 0."""
    contents: Mapping[str, str]
    """Name -> sha256: a file with other content is another job."""


class AsItComes:
    """OpenVINO without edgedistill's hint that arithmetic is fp32."""

    def __init__(self, file: Path, threads: int) -> None:
        import openvino

        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(file, "CPU", settings)
        self._request = compiled.create_infer_request()
        self._inputs = {name for port in compiled.inputs for name in port.get_names()}

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """The logits."""
        self._request.infer({name: feeds[name] for name in feeds if name in self._inputs}, share_inputs=True)
        return {LOGITS: self._request.get_output_tensor(0).data.copy()}


def opened(runtime: str, file: Path, threads: int) -> Opened:
    """As edgedistill opens it, or as OpenVINO comes."""
    if runtime == OPENVINO_AS_IT_COMES:
        return AsItComes(file, threads)
    graph: Opened = registry.runtime(runtime).open(file, threads, PortNames())
    return graph


def by_length(file: Path) -> dict[int, list[Arrays]]:
    """The inputs of a job."""
    found: dict[int, dict[int, dict[str, Array]]] = {}
    with np.load(file) as arrays:
        for place in arrays.files:
            length, number, name = place.split("/")
            found.setdefault(int(length), {}).setdefault(int(number), {})[name] = arrays[place]
    return {length: [items[number] for number in sorted(items)] for length, items in found.items()}


def answers(graph: Opened, items: Sequence[Arrays]) -> Floats:
    """(N, C) logits, asked one by one."""
    return np.concatenate([np.asarray(next(iter(graph.run(item).values())), np.float64) for item in items])


def timed(graphs: Mapping[str, Opened], items: Sequence[Arrays], seconds: float) -> dict[str, Floats]:
    """(rounds, runs) milliseconds of each."""
    drawn, order = random.Random(0), list(graphs)
    spent: dict[str, list[list[float]]] = {name: [] for name in graphs}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(spent[order[0]]) < LEAST_ROUNDS:
        drawn.shuffle(order)
        for name in order:
            graph, item = graphs[name], items[len(spent[name]) % len(items)]
            for _ in range(UNTIMED):
                graph.run(item)
            spent[name].append([milliseconds(graph, item) for _ in range(TIMED)])
    return {name: np.array(turns) for name, turns in spent.items()}


def milliseconds(graph: Opened, item: Arrays) -> float:
    begun = time.perf_counter()
    graph.run(item)
    return 1e3 * (time.perf_counter() - begun)


def main() -> None:
    job = Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    graphs = {name: opened(runtime, Path(file), job.threads) for name, (runtime, file) in job.files.items()}
    items = by_length(Path(job.inputs))
    found: dict[str, Floats] = {}
    for length, own in items.items():
        if job.seconds is None:
            found |= {name: answers(graph, own) for name, graph in graphs.items()}
        else:
            found |= {f"{length}/{name}": spent for name, spent in timed(graphs, own, job.seconds).items()}
    partial = Path(job.out).with_suffix(".partial.npz")
    np.savez(partial, **found)  # type: ignore[arg-type]  # numpy's stub takes the names for its own options
    partial.replace(job.out)


def ask(job: Job) -> dict[str, Floats]:
    """Do a job in a process of its own, unless this very job has its result already.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    result, description = Path(job.out), Path(job.out).with_suffix(".json")
    text = json.dumps(asdict(job), indent=1)
    if not (result.is_file() and description.is_file() and description.read_text(encoding="utf-8") == text):
        result.parent.mkdir(parents=True, exist_ok=True)
        result.unlink(missing_ok=True)
        description.write_text(text, encoding="utf-8")
        subprocess.run([sys.executable, "-m", "bench.peers.asking", str(description)], cwd=ROOT, check=True)
    with np.load(result) as found:
        return {name: found[name] for name in found.files}


if __name__ == "__main__":
    main()
