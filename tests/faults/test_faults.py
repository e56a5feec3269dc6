"""The program itself, with fewer cases of each kind; no verdict may be a fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COUNTS = {"recipes": 150, "data": 55, "models": 52, "onnx": 31, "bundles": 30, "damages": 30, "kills": 5, "disks": 4}
"""At least one of each mutation; `python -m tests.faults` tries several times as many."""
GOOD = ("refused", "worked", "failed rightly", "skipped")


def faults(*options: str, keep: Path) -> list[dict[str, object]]:
    """The verdicts that are faults."""
    report = keep.with_suffix(".json")
    command = [sys.executable, "-m", "tests.faults", "--keep", str(keep), "--json", str(report), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert report.is_file(), done.stdout + done.stderr
    verdicts = json.loads(report.read_text(encoding="utf-8"))
    assert verdicts
    return [verdict for verdict in verdicts if verdict["result"] not in GOOD]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One world for all kinds."""
    return tmp_path_factory.mktemp("faults") / "all"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("kind", "count"), COUNTS.items())
def test_no_fault_is_answered_wrongly(kind, count, world):
    assert faults("--only", kind, "--count", str(count), keep=world) == []
