"""What our processes never do: import from the working folder, report their use, leave traces of it in the home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgedistill.system import process

SHADOWED = (
    "numpy",
    "json",
    "onnxruntime",
    "safetensors",
    "sitecustomize",
    "usercustomize",
    "_tools",
    "tokenizers",
)
COMMAND = str(Path(sys.executable).with_name("edgedistill"))


@pytest.fixture
def hostile(tmp_path):
    """A folder as somebody may have sent it, with modules that leave a mark when they are run."""
    folder = tmp_path / "downloaded"
    (folder / "edgedistill").mkdir(parents=True)
    canary = tmp_path / "canary"
    code = f"open({str(canary)!r}, 'a').write(__name__ + '\\n')\n"
    for name in SHADOWED:
        (folder / f"{name}.py").write_text(code)
    (folder / "edgedistill" / "__init__.py").write_text(code)
    return folder, canary


def home_of(folder: Path) -> dict[str, str]:
    """The variables of a user who has nothing set, with a home of his own."""
    folder.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "HF_HUB_OFFLINE") if name in os.environ}
    return {**kept, "HOME": str(folder), "LANG": "C.UTF-8"}


def files_below(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_nothing_of_a_bundle_runs_with_its_example(hostile, finished_run, tmp_path):
    """Neither beside the example, nor where it is started."""
    folder, canary = hostile
    shutil.copytree(finished_run.folder / "bundle", tmp_path / "bundle")
    for name in SHADOWED:
        shutil.copy(folder / f"{name}.py", tmp_path / "bundle" / "examples")
    words = [sys.executable, str(tmp_path / "bundle" / "examples" / "run.py")]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=home_of(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert not canary.exists(), canary.read_text()
    assert not [name for name in files_below(tmp_path / "home") if "deviceid" in name]


@pytest.mark.slow
def test_nothing_of_the_working_folder_runs_in_a_run(hostile, finished_run, tmp_path):
    folder, canary = hostile
    shutil.copytree(finished_run.folder, tmp_path / "run")
    words = ["--out", str(tmp_path / "run"), "--set", "measure.min_seconds=0.05", "--set", "verify.min_agreement=0.7"]
    done = subprocess.run(
        [COMMAND, "run", finished_run.recipe, *words, "--set", "quantize=[{precision: fp16}]"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 3), done.stderr
    assert "fp16" in done.stdout
    assert not canary.exists(), canary.read_text()


def test_a_child_finds_what_its_parent_found_but_not_the_working_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", ".", "relative", str(tmp_path), ""]))
    assert process.environment()["PYTHONPATH"] == str(tmp_path)
    first = tmp_path / "first"
    assert process.environment(paths=(first,))["PYTHONPATH"] == f"{first}{os.pathsep}{tmp_path}"
    assert process.environment()["PYTHONSAFEPATH"] == "1"
    monkeypatch.delenv("PYTHONPATH")
    assert "PYTHONPATH" not in process.environment()


def test_idle_threads_yield_but_for_what_is_timed_and_as_the_user_says():
    show = "from edgedistill.system import process; print(process.environment(timed={}).get('OMP_WAIT_POLICY'))"

    def waits(timed: bool, **variables: str) -> str:
        others = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        words = [sys.executable, "-c", show.format(timed)]
        return subprocess.run(words, capture_output=True, text=True, env=others | variables).stdout.strip()

    assert waits(False) == "passive"
    assert waits(True) == "None"
    assert waits(False, OMP_WAIT_POLICY="active") == waits(True, OMP_WAIT_POLICY="active") == "active"


def test_measuring_leaves_nothing_in_the_home(finished_run, data_folder, tmp_path):
    """What it connects to is a test of its own: ONNX Runtime waits longer with that than this takes."""
    file = finished_run.folder / "models" / "r1" / "onnx" / "model.onnx"
    words = [COMMAND, "measure", str(file), "--data", str(data_folder / "test.jsonl"), "--min-seconds", "0.1"]
    home = home_of(tmp_path / "home")
    done = subprocess.run(words, capture_output=True, text=True, env=home, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = files_below(tmp_path / "home")
    assert not [name for name in found if "Microsoft" in name or "deviceid" in name or "intel" in name.lower()], found


WATCHED_SECONDS = 40
"""ONNX Runtime 1.32 looks its host up within 20 seconds of opening a file."""


@pytest.mark.slow
def test_measuring_opens_no_connection(finished_run, data_folder, tmp_path):
    """Nor would this see one, unless the same watch sees ONNX Runtime's own where nothing keeps it from it."""
    calls = tmp_path / "calls"
    watch = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(calls)]
    if shutil.which("strace") is None or subprocess.run([*watch, "true"], capture_output=True).returncode:
        pytest.skip("strace is not installed, or may not watch")
    variables = home_of(tmp_path / "home")
    file = finished_run.folder / "models" / "r1" / "onnx" / "model.onnx"
    code = f"import onnxruntime, time; s = onnxruntime.InferenceSession({str(file)!r}); time.sleep({WATCHED_SECONDS})"
    subprocess.run([*watch, sys.executable, "-c", code], check=True, capture_output=True, env=variables)
    if "AF_INET" not in calls.read_text():
        pytest.skip("this build of onnxruntime connects to nothing")
    words = [COMMAND, "measure", str(file), "--data", str(data_folder / "test.jsonl")]
    words += ["--min-seconds", str(WATCHED_SECONDS)]
    done = subprocess.run([*watch, *words], capture_output=True, text=True, env=variables, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "AF_INET" not in calls.read_text()


def test_the_watch_sees_what_onnxruntime_leaves_by_itself(finished_run, tmp_path):
    """Else the test before shows nothing."""
    variables = home_of(tmp_path / "home")
    file = finished_run.folder / "models" / "r1" / "onnx" / "model.onnx"
    code = f"import onnxruntime; onnxruntime.InferenceSession({str(file)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=variables)
    if not files_below(tmp_path / "home"):
        pytest.skip("this build of onnxruntime has no telemetry")
    assert any("deviceid" in name for name in files_below(tmp_path / "home"))


def test_packages_that_only_report_use_are_not_there():
    code = "import edgedistill\ntry:\n import openvino_telemetry\nexcept ImportError:\n print('absent')"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "absent\n"
