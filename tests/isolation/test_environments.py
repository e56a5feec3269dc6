from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest
from helpers import change_plugin, plugged_in

from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.packages import Packages
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.isolation import environments
from edgedistill.measuring.child import Child

ABSENT = Packages(("only_in_the_environment",), ("only-in-the-environment>=1",), environment="apart")
RUNTIME = """
import only_in_the_environment
from edgedistill.contracts.driver import Port
from edgedistill.contracts.runtime import Runtime
from edgedistill.contracts.packages import Packages


class Graph:
    inputs = {"input_ids": Port("int64", (None, None))}
    outputs = {"logits": Port("float32", (None, 2))}

    def run(self, feeds):
        return {"logits": only_in_the_environment.answer(feeds["input_ids"])}

    def backend(self):
        import sys

        return {"python": sys.prefix}


def open(file, threads, names):
    return Graph()


def version():
    return "1"


RUNTIME = Runtime(
    api=1,
    targets=("onnx",),
    suffixes=(".apart",),
    packages=Packages(("only_in_the_environment",), ("only-in-the-environment>=1",), environment="apart"),
    open=open,
    version=version,
)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEDISTILL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def apart(home):
    """An environment as `install` leaves it, with a module that is nowhere else; numpy and the like are borrowed."""
    place = environments.folder("apart")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    borrowed = [path for path in sys.path if path.endswith("-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed))
    (site / "only_in_the_environment.py").write_text(
        "import numpy\ndef answer(ids):\n    return numpy.stack([ids.sum(1), 0 * ids.sum(1)], 1).astype('float32')\n"
    )
    (place / "edgedistill.json").write_text("{}")
    return place


def test_packages_that_are_here_are_used_here(apart):
    assert environments.interpreter(Packages(("numpy",), environment="apart")) == Path(sys.executable)


def test_packages_that_are_missing_here_come_from_their_environment(apart):
    assert environments.interpreter(ABSENT) == environments.python_of("apart")


@pytest.mark.parametrize("half_done", [False, True])
def test_packages_that_are_nowhere_give_the_line_that_installs_them(home, half_done):
    if half_done:  # interrupted before the record was written
        environments.python_of("apart").parent.mkdir(parents=True)
        environments.python_of("apart").touch()
    expected = (
        "only_in_the_environment not installed; install with: "
        "pip install 'edgedistill[apart]', or: edgedistill doctor --install apart"
    )
    with pytest.raises(UserError) as caught:
        environments.interpreter(ABSENT)
    assert str(caught.value) == expected


def test_a_runtime_runs_in_the_environment_that_has_its_packages(apart, tmp_path, monkeypatch):
    """Through the measuring protocol; the module of the runtime itself lies in this environment only."""
    module = tmp_path / "site" / "apart_runtime.py"
    module.parent.mkdir()
    module.write_text(RUNTIME)
    monkeypatch.syspath_prepend(str(module.parent))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "only_in_the_environment", sys)
        apart_runtime = importlib.import_module("apart_runtime")

    given = tmp_path / "inputs.safetensors"
    Items.of({"input_ids": Column("input", "sequence")}, {"input_ids": [[1], [2, 3]]}, [0, 1]).save(given)
    driver = registry.task("text-classification").device
    files = {"model": {"files": [[None, "x"]], "inputs": [], "outputs": ["logits"]}}
    python = environments.interpreter(apart_runtime.RUNTIME.packages)
    with Child(tmp_path / "log", python=python, modules=("apart_runtime:RUNTIME", driver)) as child:
        loaded = child.ask("load", files=files, runtime="apart_runtime:RUNTIME", driver=driver, threads=1, warm_up=0)
        child.ask("answer", file=str(given), output=str(tmp_path / "answers"))
    assert loaded["backend"] == {"python": str(apart)}
    assert Answers.open(tmp_path / "answers").values["logits"].tolist() == [[1, 0], [5, 0]]


def test_the_bridge_shows_the_way_to_these_packages_and_no_others(tmp_path):
    bridge = environments.bridge(
        tmp_path / "bridge", ["edgedistill.runtimes.onnxruntime:RUNTIME", "edgedistill_exporters.onnx"]
    )
    assert {path.name for path in bridge.iterdir()} == {"edgedistill", "edgedistill_exporters"}
    assert (bridge / "edgedistill_exporters" / "onnx.py").is_file()


def test_what_measures_needs_nothing_but_numpy_and_safetensors():
    """So that any runtime's environment can do it."""
    code = (
        "import sys\n"
        "import edgedistill.measuring.worker, edgedistill.device.graphs, edgedistill.device.answering\n"
        "import edgedistill.device.timing, edgedistill.device.counting, edgedistill.contracts.items\n"
        "import edgedistill.signals.recorded, edgedistill.runtimes.onnxruntime, edgedistill.runtimes.openvino\n"
        "import edgedistill.tasks._classification_device\n"
        "import edgedistill.tasks.text_classification, edgedistill.exporting.jobs, edgedistill_exporters.openvino\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'onnx', 'onnxruntime', 'openvino', 'yaml', 'datasets'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_environment_holds_what_its_target_and_its_runtime_need():
    same_as_here = {f"{name}=={version(name)}" for name in ("torch", "transformers")}
    own = {"openvino>=2026.4", "nncf>=3.4", "pydantic>=2.11"}
    assert set(environments.requirements("openvino")) == {*environments.BASE, *own, *same_as_here}
    with pytest.raises(
        UserError, match=r"no target or runtime has an environment 'openvin'; .*did you mean 'openvino'"
    ):
        environments.requirements("openvin")


def test_extras_are_what_the_environments_hold():
    """One list for pip's extra and for the environment of its own; what edgedistill itself needs stands in neither."""
    core: set[str] = set()
    extras: dict[str, set[str]] = {}
    for line in requires("edgedistill"):
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra == [\"'](.+)[\"']", marker)
        place = extras.setdefault(extra.group(1), set()) if extra else core
        place.add(requirement.replace(" ", ""))
    by_pip = [
        packages
        for packages in environments.declared()
        if packages.environment and not (packages.emulated or packages.npm)
    ]
    assert {"openvino", "executorch", "litert", "ncnn", "mnn"} <= {packages.environment for packages in by_pip}
    for packages in by_pip:
        wanted = {specifier.replace(" ", "") for specifier in environments.requirements(packages.environment)}
        as_here = {specifier for specifier in wanted if specifier.split("==")[0] in environments.SAME_AS_HERE}
        assert extras[packages.environment] == wanted - set(environments.BASE) - as_here - core


def test_install_makes_the_environment_anew_and_records_it(home, monkeypatch):
    called = []

    def run(command, **options):
        called.append(command)
        place = environments.folder("openvino")
        place.mkdir(parents=True, exist_ok=True)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    (home / "environments" / "openvino").mkdir(parents=True)
    (home / "environments" / "openvino" / "old").touch()
    place = environments.install("openvino")
    assert not (place / "old").exists()
    assert called[0] == [sys.executable, "-P", "-m", "venv", str(place)]
    assert called[1][:5] == [str(environments.python_of("openvino")), "-P", "-m", "pip", "install"]
    assert set(environments.requirements("openvino")) <= set(called[1])
    assert json.loads((place / "edgedistill.json").read_text())["requirements"]


def test_a_failing_pip_is_told_and_leaves_nothing_that_counts_as_installed(home, monkeypatch):
    def run(command, **options):
        environments.folder("openvino").mkdir(parents=True, exist_ok=True)
        return subprocess.CompletedProcess(command, int("pip" in command), "", "no such version\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(EdgedistillError, match="environment 'openvino' could not be created: no such version"):
        environments.install("openvino")
    assert not environments.installed("openvino")


def test_doctor_says_where_a_runtime_lives(apart, tmp_path, monkeypatch):
    from edgedistill.cli import doctor

    with plugged_in(tmp_path / "plug", {}):
        change_plugin(monkeypatch, "runtimes", "onnxruntime", packages=ABSENT)
        told: dict[str, Any] = doctor.diagnose()
        assert told["runtimes"]["onnxruntime"] == {"installed": True, "environment": str(apart)}


def test_the_home_follows_the_usual_variables(monkeypatch):
    monkeypatch.delenv("EDGEDISTILL_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert environments.home() == Path("/data/edgedistill")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert environments.home() == Path.home() / ".local" / "share" / "edgedistill"
