"""The package that the documentation shows is installed as anyone's would be, and a recipe runs with it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import LABELS, write_jsonl, write_recipe

from edgedistill import Answers, References

PACKAGE = Path(__file__).parent / "example_plugin"
DOCUMENT = Path(__file__).parents[1] / "docs" / "plugins.md"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a process that has it."""
    place = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    source = tmp_path_factory.mktemp("source") / "package"
    files = [file for file in PACKAGE.rglob("*") if file.suffix in (".py", ".toml")]
    for file in files:  # a build leaves files beside what it builds
        target = source / file.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    done = subprocess.run([*pip, "--target", str(place), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")]))}


def cli(environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgedistill.cli.app", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture
def tree(recipe_tree, tmp_path):
    """One round of the package's task with its student and loss, and files of its target under its runtime."""
    for split in ("train", "validation", "test", "unlabeled"):
        rows = [json.loads(line) for line in Path(recipe_tree["data"][split]["path"]).read_text().splitlines()]
        rated = [
            {"text": row["text"]} | ({"rating": LABELS.index(row["label"])} if "label" in row else {}) for row in rows
        ]
        recipe_tree["data"][split] = {"path": str(write_jsonl(tmp_path / f"{split}.jsonl", rated))}
    recipe_tree["task"] = {"type": "text-rating", "metrics": ["mean_error", "hits"], "step": 2}
    first = recipe_tree["rounds"][0]
    first["student"] = {"init": "first_layers", "layers": 1}
    first["stages"][0]["losses"] = [{"kind": "huber_logits", "weight": 0.5, "delta": 2.0}, {"kind": "hard_label"}]
    first["stages"][0] |= {"epochs": 16, "learning_rate": 3e-3}
    recipe_tree["rounds"] = [first]
    recipe_tree["export"]["targets"] = ["onnx", "onnx-zip"]
    return recipe_tree


def test_a_recipe_runs_with_all_of_it(installed, tree, tmp_path):
    done = cli(installed, "run", write_recipe(tree, tmp_path), "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr[-3000:]
    measured = cli(installed, "measure", str(tmp_path / "run" / "bundle"), "--min-seconds", "0.1")
    assert measured.returncode == 0, measured.stderr[-3000:]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    rows = {row["id"]: row for row in results["candidates"]}
    assert results["data"]["options"] == {"step": 2}
    assert json.loads((tmp_path / "run" / "bundle" / "bundle.json").read_text())["options"] == {"step": 2}
    predictions = tmp_path / "run" / "predictions" / "test"
    given = [json.loads(line)["rating"] for line in Path(tree["data"]["test"]["path"]).read_text().splitlines()]
    learned = References.open(predictions / "references.safetensors").values["rating"]
    assert learned.tolist() == [rating // 2 for rating in given]
    said = Answers.open(predictions / "r1-onnx-fp32-onnxruntime.safetensors").values["rating"]
    plain = rows["r1/onnx/fp32/onnxruntime"]
    assert plain["figures"][0]["value"] == pytest.approx(2 * abs(said - learned).mean(), rel=1e-5)
    packed, plain = rows["r1/onnx-zip/fp32/zip-runtime"], rows["r1/onnx/fp32/onnxruntime"]
    assert packed["figures"][0]["value"] == pytest.approx(plain["figures"][0]["value"], abs=1e-6)
    assert [figure["metric"] for figure in packed["figures"]] == ["mean_error", "hits"] * 2
    assert packed["figures"][0]["value"] < 0.6  # always saying the lower half is off by 0.67
    assert packed["agreement_with_student"] == 1.0
    assert 0 < packed["file_bytes"] < plain["file_bytes"]
    assert rows["r1/onnx-zip/int8-dynamic/zip-runtime"]["file_bytes"] < packed["file_bytes"]


def test_what_it_adds_is_named_and_checked(installed, tree, tmp_path):
    found = json.loads(cli(installed, "doctor", "--json").stdout)
    assert "text-rating" in found["tasks"]
    assert "huber_logits" in found["losses"]
    assert "first_layers" in found["students"]
    assert found["targets"]["onnx-zip"]["installed"]
    assert found["runtimes"]["zip-runtime"]["installed"]
    assert found["broken_plugins"] == []
    tree["rounds"][0]["stages"][0]["losses"][0]["delta"] = -1
    wrong = cli(installed, "plan", write_recipe(tree, tmp_path), "--out", str(tmp_path / "run"))
    assert wrong.returncode == 2
    assert "rounds.0.stages.0.losses.0.delta: got -1, expected" in wrong.stderr


def test_its_code_is_what_the_documentation_shows():
    shown = re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)\n```", DOCUMENT.read_text(), re.DOTALL)
    files = [DOCUMENT.parents[1] / name for name, _ in shown]
    assert [text for _, text in shown] == [file.read_text().rstrip() for file in files]
    assert {file.name for file in files} == {
        file.name for file in PACKAGE.rglob("*.*") if file.suffix in (".py", ".toml") and file.name != "__init__.py"
    }
