"""A second task runs from teacher to chosen file without a line of the engine knowing it."""

from __future__ import annotations

import pytest
from helpers import plugged_in, quickstart_rows, tiny_recipe, write_jsonl, write_recipe

import edgedistill


@pytest.fixture
def toy(tmp_path):
    """The toy task as an installed entry point, in this process and in the measuring ones."""
    with plugged_in(tmp_path / "site", {"edgedistill.tasks": {"long-words": "toy_task"}}):
        yield


def test_a_token_task_goes_all_the_way(toy, data_folder, tmp_path):
    tree = tiny_recipe(data_folder)
    for split in ("train", "validation", "test"):
        rows = [row["text"].split() for row in quickstart_rows(split)[:60]]
        content = [{"words": w, "long": ["long" if len(x) > 3 else "short" for x in w]} for w in rows]
        tree["data"][split] = {"path": str(write_jsonl(tmp_path / f"{split}.jsonl", content))}
    unlabelled = [{"words": row["text"].split()} for row in quickstart_rows("train")[60:90]]
    tree["data"]["unlabeled"] = {"path": str(write_jsonl(tmp_path / "unlabeled.jsonl", unlabelled))}
    tree["task"]["type"] = "long-words"
    correcting = {"errors": {"of": "r1", "against": "teacher"}, "teacher_errors": 0.5}
    tree["rounds"][1]["stages"][0] |= correcting
    results = edgedistill.run(write_recipe(tree, tmp_path), out=tmp_path / "run", stream=None)
    tokens = sum(len(row["text"].split()) for row in quickstart_rows("test")[:60])
    assert results.teacher.test.value > 0.7
    assert results.candidate("r1/onnx/fp32/onnxruntime").agreement_with_student == 1.0
    assert results.candidate("r2/onnx/int8-dynamic/onnxruntime").test.value > 0.6
    import json

    labels = json.loads((tmp_path / "run" / "predictions" / "test" / "references.json").read_text())["labels"]
    assert len(labels) == tokens
