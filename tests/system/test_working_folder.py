"""Nothing that lies in the working folder, or beside a file, is ever imported or run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import text_items

from edgedistill.contracts import registry
from edgedistill.isolation import environments
from edgedistill.measuring.child import Child
from edgedistill.runtimes._browser import chromium
from edgedistill.system import process

MODULES = (
    "numpy", "json", "typing", "subprocess", "onnxruntime", "onnx", "safetensors", "tokenizers", "torch",
    "transformers", "pip", "venv", "sitecustomize", "usercustomize", "edgedistill_exporters",
)  # fmt: skip


def plant(folder: Path, *more: str) -> Path:
    """Modules, a package of edgedistill's name, programs, libraries and a plug-in that would all write CANARY."""
    folder.mkdir(parents=True, exist_ok=True)
    trap = "import os\nopen(os.environ['CANARY'], 'a').write(__file__ + '\\n')\nraise SystemExit(66)\n"
    for name in (*MODULES, *more):
        (folder / f"{name}.py").write_text(trap)
    (folder / "edgedistill").mkdir(exist_ok=True)
    (folder / "edgedistill" / "__init__.py").write_text(trap)
    for name in ("npm", "chromium", "qemu-aarch64", "apt-get"):
        (folder / name).write_text('#!/bin/sh\necho "$0" >> "$CANARY"\nexit 66\n')
        (folder / name).chmod(0o755)
    info = folder / "evil-1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[edgedistill.runtimes]\nevil = json\n")
    return folder


@pytest.fixture
def trapped(tmp_path, monkeypatch):
    """A working folder full of traps, and search paths with the entries that mean it."""
    monkeypatch.chdir(plant(tmp_path / "downloaded"))
    monkeypatch.setenv("CANARY", str(tmp_path / "CANARY"))
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}:")
    monkeypatch.setenv("LD_LIBRARY_PATH", ":.")
    yield tmp_path / "downloaded"
    sprung = tmp_path / "CANARY"
    assert not sprung.exists(), f"these ran: {sprung.read_text()}"


def in_child(python: Path, log: Path, path: str | None, monkeypatch) -> None:
    """A measuring process of this interpreter, started from here, that imports, loads and answers."""
    monkeypatch.setenv("PYTHONPATH", path or "")
    data = text_items([[0, 1, 2]])
    data.save(log.parent / "inputs.safetensors")
    with Child(log, python=python) as child:
        child.ask("inputs", file=str(log.parent / "inputs.safetensors"), batch=1, length=None)


@pytest.mark.parametrize("path", [None, ":", ".:/nowhere", "downloaded"])
def test_a_measuring_process_takes_nothing_from_the_working_folder(trapped, tmp_path, monkeypatch, path):
    in_child(Path(sys.executable), tmp_path / "log", path, monkeypatch)


def test_nor_does_one_of_another_environment_even_where_its_way_was_laid_before(trapped, tmp_path, monkeypatch):
    other = tmp_path / "python"  # as an emulated one is started, and not this interpreter's own path
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    plant(tmp_path / "log.path")
    in_child(other, tmp_path / "log", ":", monkeypatch)


def test_the_bridge_is_found_from_a_relative_folder(trapped, tmp_path, monkeypatch):
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    Path("scratch").mkdir()
    in_child(other, Path("scratch/log"), None, monkeypatch)


def test_the_process_that_makes_files_takes_nothing_from_the_working_folder(trapped, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":")
    exporter = registry.reference("exporters", "onnx")
    job = {
        "target": "onnx", "exporter": exporter, "precision": "fp32",
        "task": "edgedistill.tasks.text_classification:TASK",
        "model": "absent", "samples": "absent.safetensors", "calibration": None, "max_length": 8,
        "only_length": None, "fixed": False, "files": [[None, "model.onnx", None]],
    }  # fmt: skip
    with Child(tmp_path / "log", modules=(exporter,)) as child, pytest.raises(Exception, match=r"absent\.safetensors"):
        child.ask("make", job=job)


MODULE, COMMAND = ["-m", "edgedistill.cli.app"], [str(Path(sys.executable).with_name("edgedistill"))]


@pytest.mark.parametrize(
    ("start", "path"),
    [
        (MODULE, ""),
        (COMMAND, ":"),
        pytest.param(MODULE, ":", marks=pytest.mark.slow),
        pytest.param(COMMAND, "", marks=pytest.mark.slow),
    ],
)
def test_the_command_line_measures_a_bundle_full_of_traps(trapped, finished_run, monkeypatch, start, path):
    """Of what Python itself imports before edgedistill's first line, and of `-m edgedistill` beside a folder of that
    name, nobody but the user can say otherwise."""
    if not Path(start[-1]).is_file() and start[0] != "-m":
        pytest.skip("the command edgedistill is not installed beside this interpreter")
    for name in ("sitecustomize", "usercustomize"):
        (trapped / f"{name}.py").unlink()
    shutil.rmtree(trapped / "edgedistill")
    shutil.copytree(finished_run.folder / "bundle", trapped, dirs_exist_ok=True)
    for name in ("typing", "subprocess"):  # an editable install's own finder imports such, before edgedistill
        (trapped / f"{name}.py").unlink(missing_ok=path == ":")
    command = [sys.executable, *start] if start[0] == "-m" else start
    done = cli([*command, "measure", ".", "--min-seconds", "0.1"], path)
    assert done.returncode == 0, done.stderr


def test_a_lone_file_is_measured_beside_traps(trapped, finished_run, data_folder):
    shutil.copytree(finished_run.folder / "models" / "r1", trapped, dirs_exist_ok=True)
    plant(trapped / "onnx")
    shutil.copy(data_folder / "test.jsonl", "test.jsonl")
    shutil.rmtree(trapped / "edgedistill")
    command = [sys.executable, "-m", "edgedistill.cli.app", "measure", "onnx/model.onnx", "--data", "test.jsonl"]
    done = cli([*command, "--min-seconds", "0.1"], "")
    assert done.returncode == 0, done.stderr


def test_the_example_of_a_bundle_runs_beside_traps(trapped, finished_run):
    shutil.copytree(finished_run.folder / "bundle", trapped, dirs_exist_ok=True)
    plant(trapped / "examples", "pathlib", "os")
    for command in ([sys.executable, "examples/run.py"], [sys.executable, "-P", "examples/run.py"]):
        done = cli(command, "")
        assert done.returncode == 0, done.stderr
        assert "golden inputs agree" in done.stdout


def test_what_installs_takes_nothing_from_the_working_folder(trapped, tmp_path, monkeypatch):
    """Python's venv and pip, in the very call that `doctor --install` makes; npm is named by its path."""
    monkeypatch.setenv("EDGEDISTILL_HOME", "home")
    environments.folder("any").parent.mkdir(parents=True)
    for words in (["venv", "--without-pip", str(tmp_path / "venv")], ["pip", "--version"]):
        environments._call(process.python(Path(sys.executable), "-m", *words), "any")
    environments._call(["apt-get", "--version"] if shutil.which("apt-get", path="/usr/bin") else ["true"], "any")
    for name in ("npm", "qemu-aarch64"):
        assert not (process.program(name) or "/").startswith((".", str(trapped)))


def test_the_browsers_guard_takes_nothing_from_the_working_folder(trapped, monkeypatch, tmp_path):
    fake = tmp_path / "bin" / "chromium"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\npwd\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f".:{fake.parent}:/usr/bin:/bin")
    assert chromium.PROGRAM.path() == str(fake)
    browser = chromium.Chromium("about:blank")
    words = None
    while words is None:
        words = browser.last_words()
    browser.close()
    assert "edgedistill-chromium-" in words  # where it was started


def test_a_plug_in_of_the_working_folder_is_none(trapped):
    shutil.rmtree(trapped / "edgedistill")
    done = cli([sys.executable, "-m", "edgedistill.cli.app", "doctor", "--json"], "")
    assert done.returncode == 0, done.stderr
    assert '"onnxruntime"' in done.stdout
    assert '"evil"' not in done.stdout


def test_absolute_places_are_the_users_own_choice_and_stay(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":/one:two:/three:")
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    monkeypatch.setenv("PATH", ".:/bin")
    found = process.environment()
    assert (found["PYTHONPATH"], found["PATH"]) == ("/one:/three", "/bin")
    assert "LD_LIBRARY_PATH" not in found


def test_no_source_starts_python_by_itself():
    """Every Python is started through `process.python`, or with -I."""
    here = Path(process.__file__).parent
    for file in [*here.rglob("*.py"), *(here.parent / "exporters").glob("*.py")]:
        assert '[sys.executable, "-m"' not in file.read_text(encoding="utf-8"), file


def cli(command: list[str], path: str) -> subprocess.CompletedProcess[str]:
    where = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=where)
