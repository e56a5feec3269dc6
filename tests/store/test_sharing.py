"""Real processes that run one plan into run folders of their own, with one store, at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

STEPS = 6
RUNS = """
import os, sys, time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from edgedistill.engine.local import execute
from edgedistill.planning import Plan
from edgedistill.store.progress import Progress
from edgedistill.spec import Spec
from edgedistill.store.step import Step, StepKind, key_of
from edgedistill.store.handle import Artifact
from edgedistill.store.records.base import FileName, Record
from edgedistill.store.store import Store

run, store, seconds, count = Path(sys.argv[1]), Store(Path(sys.argv[2])), float(sys.argv[3]), int(sys.argv[4])
run.mkdir()


class Made(Record):
    SCHEMA = "toy/1"

    bytes: FileName


@dataclass(frozen=True)
class Before:
    before: Mapping[str, Artifact[Made]]


def work(settings, inputs, folder, context):
    with (store.folder / "log").open("a") as log:
        log.write(f"{os.environ['STEP']} {os.getpid()}\\n")
    mine = context.scratch / "mine"
    assert not mine.exists(), "another process uses this scratch"
    mine.touch()
    time.sleep(seconds)
    before = b"".join(each.path(each.record.bytes).read_bytes() for each in inputs.before.values())
    (folder / "bytes").write_bytes(before + os.urandom(8))  # as training may, it gives other bytes each time
    mine.unlink()
    return Made(bytes=FileName("bytes"))


class Says(Progress):
    def event(self, kind, **facts):
        os.environ["STEP"] = facts["step"]
        super().event(kind, **facts)


module = ModuleType("edgedistill.steps.toy")
module.run = work
sys.modules[module.__name__] = module
KIND = StepKind("edgedistill.steps.toy:run", 1, Spec, Before, Made)
steps = []
for number in range(count):
    last = {steps[-1].name: Artifact(steps[-1].name, steps[-1].key, Made)} if steps else {}
    key = key_of(KIND, number, {name: each.key for name, each in last.items()})
    steps.append(Step(f"s{number}", KIND, Spec(), Before(last), key))
execute(Plan(None, tuple(steps), (), (), None), run, Says(run / "events.jsonl"), store=store)
"""


@pytest.fixture
def start(tmp_path):
    (tmp_path / "store").mkdir()
    processes: list[subprocess.Popen[str]] = []

    def begin(name: str, seconds: float = 0.05) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RUNS, tmp_path / name, tmp_path / "store", str(seconds), str(STEPS)]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def finished(process: subprocess.Popen[str]) -> None:
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0, said


def contents(run: Path) -> list[bytes]:
    """What each entry of a run leads to."""
    entries = sorted((run / "steps").iterdir())
    assert [entry.name for entry in entries] == [f"{number:02d}-s{number}" for number in range(STEPS)]
    return [(entry / "bytes").read_bytes() for entry in entries]


def begun(tmp_path: Path) -> Counter[str]:
    """How often each step was begun, by any process."""
    return Counter(line.split()[0] for line in (tmp_path / "store" / "log").read_text().splitlines())


def artifacts_of(tmp_path: Path) -> list[str]:
    manifests = (tmp_path / "store").glob("*/manifest.json")
    return sorted(json.loads(file.read_text())["step"] for file in manifests)


def test_two_runs_at_once_make_every_artifact_once_and_both_have_it(start, tmp_path):
    for process in [start("one"), start("two"), start("three")]:
        finished(process)
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")
    assert begun(tmp_path) == {f"s{number}": 1 for number in range(STEPS)}
    assert artifacts_of(tmp_path) == [f"s{number}" for number in range(STEPS)]
    assert not list((tmp_path / "store").glob("*.partial"))
    assert not list((tmp_path / "store" / "scratch").iterdir())


def test_one_that_is_killed_midway_harms_no_other(start, tmp_path):
    killed = start("killed", seconds=600)
    while not (tmp_path / "store" / "log").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    others = [start("one"), start("two")]
    for name in ("one", "two"):
        while not any('"waiting"' in line for line in _events(tmp_path / name)):
            assert all(process.poll() is None for process in others)
            time.sleep(0.01)
    killed.kill()
    for process in others:
        finished(process)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert begun(tmp_path) == {"s0": 2, **{f"s{number}": 1 for number in range(1, STEPS)}}
    assert not list((tmp_path / "store").glob("*.partial"))


def _events(run: Path) -> list[str]:
    file = run / "events.jsonl"
    return file.read_text().splitlines() if file.exists() else []
