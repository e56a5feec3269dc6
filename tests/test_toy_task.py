"""A second task runs from teacher to chosen file without a line of the engine knowing it."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest
from helpers import quickstart_rows, tiny_recipe, write_jsonl, write_recipe

import edgedistill
from edgedistill import plugins


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """The toy task as an installed entry point, in this process and in the measuring ones."""
    here = str(__import__("pathlib").Path(__file__).parent)
    package = tmp_path / "site"
    info = package / "toy_task-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-task\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[edgedistill.tasks]\nlong-words = toy_task\n")
    monkeypatch.setenv("PYTHONPATH", f"{package}:{here}")
    monkeypatch.syspath_prepend(here)
    monkeypatch.setattr(sys, "path", [str(package), *sys.path])
    plugins.forget()
    yield EntryPoint("long-words", "toy_task", "edgedistill.tasks")
    monkeypatch.undo()
    plugins.forget()


def test_a_token_task_goes_all_the_way(toy, data_folder, tmp_path):
    tree = tiny_recipe(data_folder)
    for split in ("train", "validation", "test"):
        rows = [row["text"].split() for row in quickstart_rows(split)[:60]]
        content = [{"words": w, "long": ["long" if len(x) > 3 else "short" for x in w]} for w in rows]
        tree["data"][split] = {"path": str(write_jsonl(tmp_path / f"{split}.jsonl", content))}
    unlabelled = [{"words": row["text"].split()} for row in quickstart_rows("train")[60:90]]
    tree["data"]["unlabeled"] = {"path": str(write_jsonl(tmp_path / "unlabeled.jsonl", unlabelled))}
    tree["task"]["type"] = "long-words"
    results = edgedistill.run(write_recipe(tree, tmp_path), out=tmp_path / "run", stream=None)
    tokens = sum(len(row["text"].split()) for row in quickstart_rows("test")[:60])
    assert results.teacher.accuracy > 0.7
    assert results.candidate("r1/onnx/fp32/onnxruntime").agreement_with_student == 1.0
    assert results.candidate("r2/onnx/int8-dynamic/onnxruntime").accuracy > 0.6
    import json

    labels = json.loads((tmp_path / "run" / "predictions" / "test" / "references.json").read_text())["labels"]
    assert len(labels) == tokens
