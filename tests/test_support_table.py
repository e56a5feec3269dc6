"""The support table of docs/targets.md is what the bench found, and the bench tries all that there is."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import export_matrix
from edgedistill.contracts import registry
from edgedistill.exporting.candidates import Candidate
from edgedistill.store.artifacts import Failure

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def rows():
    return json.loads((ROOT / "bench" / "results" / "export_matrix.json").read_text(encoding="utf-8"))["rows"]


def test_the_page_shows_what_the_bench_found(rows):
    text = export_matrix.PAGE.read_text(encoding="utf-8")
    assert export_matrix.with_table(text, rows) == text


def test_every_task_student_and_target_was_tried(rows):
    tried = {(row["task"], row["student"]) for row in rows}
    assert tried == {(task, student) for task in registry.names("tasks") for student in registry.names("students")}
    targets = {row["target"] for row in rows} - {"*"}
    assert targets <= set(registry.names("exporters"))
    assert targets == set(registry.names("exporters")) or any(row["state"] == "untried" for row in rows)
    assert not {row["state"] for row in rows} - set(export_matrix.STATES)
    assert all(row["reason"] for row in rows if row["state"] != "works")


@pytest.mark.parametrize("task", sorted(export_matrix.tasks()))
@pytest.mark.parametrize("student", sorted(export_matrix.STUDENTS))
def test_every_recipe_of_the_bench_is_one_or_is_refused_as_a_whole(task, student, tmp_path):
    import yaml

    from edgedistill.errors import RecipeError
    from edgedistill.recipe import reading

    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(export_matrix.recipe(task, student, tmp_path)), encoding="utf-8")
    if task == "image-classification" and registry.student(student).make_tokenizer is not None:
        with pytest.raises(RecipeError, match="has no tokenizer"):
            reading.load(str(file))
    else:
        assert set(reading.load(str(file)).export.targets) == set(registry.names("exporters"))


class Verified:
    """What a step of that kind left."""

    def __init__(self, agreement: float = 0.0, failure: Failure | None = None) -> None:
        self.record, self.failure = SimpleNamespace(fidelity=SimpleNamespace(agreement=agreement)), failure


def candidate(precision: str, refused: str | None = None) -> Candidate:
    identity = {"id": "i", "model": "r1", "target": "onnx", "runtime": "onnxruntime", "threads": 1, "batch": 1}
    return Candidate(**identity, precision=precision, refused=refused)


@pytest.mark.parametrize(
    ("precision", "agreement", "state"),
    [("fp32", 0.996, "works"), ("fp32", 0.99, "wrong"), ("fp16", 0.99, "works"), ("int8-dynamic", 0.9, "wrong")],
)
def test_a_file_works_when_it_answers_as_its_torch_model(precision, agreement, state):
    row = export_matrix.judged("text-classification", "narrow", candidate(precision), Verified(agreement))
    assert (row["state"], row["agreement"]) == (state, agreement)
    assert bool(row["reason"]) == (state == "wrong")


def test_what_is_refused_or_fails_keeps_its_reason():
    row = export_matrix.judged("text-classification", "narrow", candidate("fp16", "no fp16"), None)
    assert (row["state"], row["reason"], row["agreement"]) == ("refused", "no fp16", None)
    crashed = Verified(failure=Failure("killed by signal 11", "failed"))
    row = export_matrix.judged("text-classification", "narrow", candidate("fp16"), crashed)
    assert (row["state"], row["reason"]) == ("failed", "killed by signal 11")


def test_cells_count_what_works_and_name_the_rest():
    def row(state: str, precision: str, student: str) -> dict[str, object]:
        return export_matrix.row("t", student, "onnx", precision, "onnxruntime", state, "")

    table = export_matrix.support_table(
        [
            row("works", "fp32", "a"),
            row("wrong", "fp32", "b"),
            row("refused", "fp16", "a"),
            row("works", "int8", "a"),
            row("refused", "int8", "b"),
            export_matrix.row("t", "c", "*", "*", "*", "refused", "no tokenizer"),
        ]
    )
    assert table.splitlines() == [
        "| target, runtime | fp32 | fp16 | int8 |",
        "|---|---|---|---|",
        "| onnx, onnxruntime | 1 of 2, 1 wrong | - | 1 of 2, 1 refused |",
    ]


def test_a_student_that_came_later_is_told_to_be_untried():
    rows = [export_matrix.row("text-classification", "narrow", "onnx", "fp32", "onnxruntime", "works", "")]
    found = export_matrix.with_untried(rows)
    assert found[0] == rows[0]
    assert {(row["task"], row["student"]) for row in found} >= {("text-generation", "shrink")}
    assert {row["state"] for row in found[1:]} == {"untried"}
    assert not export_matrix.goals(found)[0].met
    assert export_matrix.goals(rows)[0].met
