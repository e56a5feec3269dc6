"""The program itself: a few cases of each kind always, all of them when slow tests run; no verdict may be a fault."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KINDS = ("recipes", "data", "models", "onnx", "bundles", "damages", "kills", "disks")
GOOD = ("refused", "worked", "failed rightly", "skipped")


def faults(*options: str, keep: Path) -> list[dict[str, object]]:
    """The verdicts that are faults."""
    report = keep.with_suffix(".json")
    command = [sys.executable, "-m", "tests.faults", "--keep", str(keep), "--json", str(report), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert report.is_file(), done.stdout + done.stderr
    verdicts = json.loads(report.read_text(encoding="utf-8"))
    assert verdicts
    return [each for each in verdicts if each["result"] not in GOOD]


@pytest.mark.slow
def test_a_few_faults_of_each_kind(tmp_path):
    assert faults("--quick", keep=tmp_path / "quick") == []


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """One world for all kinds."""
    return tmp_path_factory.mktemp("faults") / "all"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_all_faults(kind, world):
    assert faults("--only", kind, keep=world) == []
