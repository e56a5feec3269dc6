"""Runs the frozen recipe in a folder, on one thread, in arithmetic that is the same on every x86 CPU.

Called by `tests/test_golden_trunk.py`. What it must have in its environment is in `ENVIRONMENT`: torch without vector
extensions, MKL and oneDNN on the code that every CPU has. With it, one version of torch gives the same figures to the
last digit; with AVX2 in their place, losses and differences of logits were seen to move by up to 2e-6.

To pin other numbers, ON PURPOSE ONLY (a step's VERSION was raised, or torch was, and the difference is understood):

    python tests/trunk/run.py --pin
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PINNED = Path(__file__).parent / "pinned.json"
ENVIRONMENT = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
}
_CLOCK = (
    "seconds",
    "samples_per_second",
    "latency_ms",
    "throughput_per_s",
    "peak_rss_mb",
    "load_ms",
    "hosts",
    "speed_up",
)
_OTHERWISE = (
    "edgedistill",
    "on_pareto_front",
    "why",
    "warnings",
    "test_sha256",
    "file_bytes",
    "flips",
    "results.errors",
)
"""Follows the clock or a version, or is words."""


def frozen_run(folder: Path, **environment: str) -> Path:
    """The folder of the frozen run, made in a process of its own.

    With `TRUNK_RUN` in the environment, the folder of such a run, it is a copy of that in which only the steps that
    `TRUNK_REMAKE` names are made again: `tests.mutations` breaks these alone.
    """
    if (made := os.environ.get("TRUNK_RUN")) is not None:
        again = tuple(f"-{name}-" for name in os.environ["TRUNK_REMAKE"].split())
        shutil.copytree(made, folder / "run", symlinks=True)
        for step in list((folder / "run" / "steps").iterdir()):
            if any(name in f"{step.name}-" for name in again):
                shutil.rmtree(step.resolve())
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), str(root / "tests"), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, **ENVIRONMENT, "PYTHONPATH": paths, **environment}
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), str(folder)],
        env={**variables, "XDG_CACHE_HOME": str(folder / "cache")},
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "run"


def figures(run: Path) -> dict[str, object]:
    """By place, every figure and decision of a run that is pinned: of `results.json`, and of each model's training.

    Words are left out, but for what was chosen: results may get more of them.
    """
    found = dict(_leaves("results", json.loads((run / "results.json").read_text())))
    for file in sorted(run.glob("steps/*/record.json")):
        name, record = file.parent.name.split("-", 1)[1], json.loads(file.read_text())
        if record["record"] == "trained-model/1":
            found |= dict(_leaves(f"training.{name}", record["epochs"]))
    return found


def _leaves(place, value):
    if place.endswith((*_CLOCK, *_OTHERWISE)):
        return
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(f"{place}.{key}", below)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _leaves(f"{place}.{number}", below)
    elif not isinstance(value, str) or place.endswith((".chosen", ".teacher")):
        yield place, value


def _run(folder: Path) -> None:
    import torch
    import yaml
    from trunk.materials import plain_target, recipe, write_all

    import edgedistill

    torch.set_num_threads(1)
    write_all(folder)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe(folder)))
    with plain_target(folder / "site"):
        edgedistill.run(str(folder / "recipe.yaml"), out=folder / "run")


def _pin() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = figures(frozen_run(Path(folder)))
    PINNED.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--pin"]:
        _pin()
    else:
        _run(Path(sys.argv[1]))
