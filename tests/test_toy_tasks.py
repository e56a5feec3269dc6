"""Other kinds of tasks run from teacher to chosen file without a line of the engine knowing them."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import plugged_in, quickstart_rows, tiny_recipe, write_jsonl, write_recipe

import edgedistill
from edgedistill.contracts.answers import References
from edgedistill.data import PreparedData
from edgedistill.errors import UserError


@pytest.fixture
def toys(tmp_path):
    """The toy tasks as installed entry points, in this process and in the measuring ones."""
    tasks = {"long-words": "toy_words:TASK", "text-pairs": "toy_pairs:TASK"}
    with plugged_in(tmp_path / "site", {"edgedistill.tasks": tasks}):
        yield


def test_a_task_of_several_decisions_per_item_goes_all_the_way(toys, data_folder, tmp_path):
    tree = tiny_recipe(data_folder)
    for split in ("train", "validation", "test"):
        rows = [row["text"].split() for row in quickstart_rows(split)[:60]]
        content = [{"words": w, "long": ["long" if len(x) > 3 else "short" for x in w]} for w in rows]
        tree["data"][split] = {"path": str(write_jsonl(tmp_path / f"{split}.jsonl", content))}
    unlabelled = [{"words": row["text"].split()} for row in quickstart_rows("train")[60:90]]
    tree["data"]["unlabeled"] = {"path": str(write_jsonl(tmp_path / "unlabeled.jsonl", unlabelled))}
    tree["task"] = {"type": "long-words", "metric": "f1_macro"}
    correcting = {"errors": {"of": "r1", "against": "teacher"}, "teacher_errors": 0.5}
    tree["rounds"][1]["stages"][0] |= correcting
    results = edgedistill.run(write_recipe(tree, tmp_path), out=tmp_path / "run", stream=None)
    tokens = sum(len(row["text"].split()) for row in quickstart_rows("test")[:60])
    assert results.teacher.test.value > 0.7
    assert results.candidate("r1/onnx/fp32/onnxruntime").agreement_with_student == 1.0
    assert results.candidate("r2/onnx/int8-dynamic/onnxruntime").test.value > 0.6
    labels = References.open(tmp_path / "run" / "predictions" / "test" / "references.safetensors")
    assert len(labels) == tokens


@pytest.fixture
def pairs(toys, data_folder, teacher_folder, tmp_path):
    """A recipe of pairs of texts, far apart where they ask for different things; training has no labels."""
    tree = tiny_recipe(data_folder)
    for split in ("train", "validation", "test"):
        rows = quickstart_rows(split)[:80]
        content = []
        for first, second in zip(rows[::2], rows[1::2], strict=True):
            pair = {"first": first["text"], "second": second["text"]}
            content.append(pair if split == "train" else pair | {"gap": 0 if first["label"] == second["label"] else 4})
        tree["data"][split] = {"path": str(write_jsonl(tmp_path / f"{split}.jsonl", content))}
    del tree["data"]["unlabeled"]
    stage = {"name": "vectors", "epochs": 6, "learning_rate": 3e-3, "batch_size": 8}
    student = {"init": "keep_layers", "layers": 1}
    losses = [{"kind": "hidden_mse"}, {"kind": "embedding", "distance": "cosine"}]
    return tree | {
        "task": {"type": "text-pairs", "metric": "gap_error"},
        "teacher": {"model": str(teacher_folder), "accept_chance": True},
        "rounds": [{"id": "r1", "student": student, "stages": [stage | {"losses": losses}]}],
        "control": False,
    }


def test_a_task_of_vectors_without_labels_in_training_is_distilled(pairs, tmp_path):
    from toy_pairs import TASK

    found = edgedistill.evaluate(write_recipe(pairs, tmp_path), out=tmp_path / "run", stream=None)
    assert found.models == ("teacher", "r1")
    teacher, student, references = found.said("teacher"), found.said("r1"), found.references()
    assert teacher.values["vector"].shape == (80, 32)
    assert teacher.example.tolist() == np.repeat(np.arange(40), 2).tolist()
    metric = TASK.judge.metrics["gap_error"]
    assert len(metric.statistics(student, references)) == 40
    kept = [epoch["metric"] for epoch in found.training("r1")["epochs"]]
    validation = metric.score(found.said("r1", "validation"), found.references("validation"))
    assert validation == pytest.approx(min(kept), abs=1e-6)  # lower is better
    assert TASK.judge.fidelity(teacher, student).divergence.mean() < 0.2
    items = PreparedData(found.artifacts["data"].folder).items("train")
    assert items.columns["input_ids"].side == "left"
    assert len(items) == 2 * 40


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"control": True}, "control: got true, but 'text-pairs' has no labels to learn from without a teacher"),
        ({"losses": [{"kind": "hard_label"}]}, "'hard_label' needs labels, and 'text-pairs' trains without"),
        ({"losses": [{"kind": "kl"}]}, "'kl' needs logits, and 'text-pairs' has none"),
        ({"errors": {"of": "teacher"}}, "stages.0.errors: the task knows no right and wrong answers"),
        ({"fine_tune": {"epochs": 1}}, "teacher.fine_tune: 'text-pairs' has no labels to tune a teacher on"),
    ],
)
def test_what_a_task_of_vectors_has_not_is_refused(pairs, tmp_path, change, expected):
    stage = pairs["rounds"][0]["stages"][0]
    pairs |= {key: value for key, value in change.items() if key == "control"}
    stage |= {key: value for key, value in change.items() if key in ("losses", "errors")}
    pairs["teacher"] |= {key: value for key, value in change.items() if key == "fine_tune"}
    with pytest.raises(UserError) as caught:
        edgedistill.plan(write_recipe(pairs, tmp_path))
    assert expected in str(caught.value)
