"""Processes killed at random moments of a training: the same command goes on, and makes the same bytes."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import tiny_recipe, write_recipe

TRAINS = """
import sys
from pathlib import Path
from edgedistill.cli import app as cli, entry
from edgedistill.planning import fingerprints
from edgedistill.recipe import reading
from edgedistill.store import run_folder
from edgedistill.engine.local import execute
from edgedistill.planning import make_plan
from edgedistill.store.progress import Progress
from edgedistill.store.listing import store_of

def app():
    recipe, out = reading.load(sys.argv[1]), Path(sys.argv[2])
    plan = make_plan(recipe, fingerprints.look_up(recipe))
    with run_folder.opened(out):
        run_folder.tidy(out, plan, store_of(out))
        execute(plan.until("r1"), out, Progress(out / run_folder.EVENTS, sys.stderr))

cli.app = app
entry.main()
"""


def start(recipe: str, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", TRAINS, recipe, str(out)]
    plain = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731 - whatever pytest was given
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=plain)


def models(out: Path) -> dict[str, bytes]:
    return {file.parts[-3][3:]: file.read_bytes() for file in sorted(out.glob("steps/*/model/model.safetensors"))}


@pytest.fixture
def recipe(data_folder, tmp_path):
    tree = tiny_recipe(data_folder)
    del tree["rounds"][1:]
    tree["control"] = False
    tree["teacher"]["fine_tune"]["epochs"] = 8
    tree["rounds"][0]["stages"][0] |= {"losses": [{"kind": "kl"}], "epochs": 8}
    return write_recipe(tree, tmp_path)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_makes_the_same_bytes(recipe, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    process = start(recipe, whole)
    assert process.wait(300) == 0, process.stderr.read()
    for step in whole.glob("steps/*-data*"):
        shutil.copytree(step, cut / "artifacts" / step.resolve().name)
    moments = random.Random(7)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        process = start(recipe, cut)
        for line in process.stderr:
            if " epoch " in line:
                break
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(number)
        said = process.communicate(timeout=120)[1]
        if process.returncode == 0:
            continue  # it was done before
        assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
        assert "Traceback" not in said
        assert number == signal.SIGKILL or said.endswith("run the same command to resume\n")
        assert number == signal.SIGKILL or not list(cut.glob("artifacts/*.partial"))
        assert number == signal.SIGKILL or all(
            list(path.glob("*/state.json")) for path in cut.glob("artifacts/scratch/*")
        )
    process = start(recipe, cut)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    assert models(cut) == models(whole)
    assert not list(cut.glob("artifacts/*.partial"))
    assert not list(cut.glob("artifacts/scratch/*"))
