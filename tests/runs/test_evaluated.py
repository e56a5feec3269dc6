"""Training and evaluation alone: what is done, what it gives, and that `run` continues from there."""

from __future__ import annotations

import json
import shutil

import pytest
from helpers import assert_close, stand_in

import edgedistill
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.runs.evaluated import EvaluatedRun, without_files


@pytest.fixture
def folder(finished_run, tmp_path):
    """The finished run, as far as it is trained and evaluated, but for r2."""
    shutil.copytree(finished_run.folder / "artifacts", tmp_path / "run" / "artifacts")
    for kind in ("file-", "verify-", "measure", "choose", "report", "bundle", "r2", "test-r2", "evaluate-r2"):
        for step in finished_run.folder.glob(f"steps/[0-9][0-9]-{kind}*"):
            shutil.rmtree(tmp_path / "run" / "artifacts" / step.resolve().name)
    return tmp_path / "run"


@pytest.mark.slow
def test_models_are_trained_and_asked_and_no_file_is_made(finished_run, folder, data_folder):
    told: list[tuple[str, dict[str, object]]] = []
    found = edgedistill.evaluate(
        finished_run.recipe, out=folder, on_event=lambda kind, facts: told.append((kind, dict(facts)))
    )
    assert found.models == ("teacher", "r1", "r1-control", "r2", "r2-control")
    kinds = {json.loads(file.read_text())["kind"] for file in folder.glob("steps/*/manifest.json")}
    assert {"distil", "evaluate", "probe_model"} <= kinds
    assert not kinds & {"make_file", "verify", "measure", "choose", "report", "bundle", "judge_round"}
    written = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [(event.pop("event"), event) for event in written if event.pop("time")] == told
    assert {"distil", "evaluate"} <= {facts["kind_of_step"] for kind, facts in told if kind == "finished"}
    assert sum(kind == "epoch" for kind, _ in told) > 0
    rows = [json.loads(line) for line in (data_folder / "test.jsonl").read_text().splitlines()]
    assert list(found.rows()) == rows
    assert found.labels == sorted({row["label"] for row in rows})
    answers = found.answers("r2", [{"text": row["text"]} for row in rows])
    assert_close(answers.values["logits"], found.said("r2").values["logits"], atol=1e-4)
    right = found.said("r2").values["logits"].argmax(axis=1) == found.references().values["class"]
    again = edgedistill.run(finished_run.recipe, out=folder)
    assert again.rounds[1].test.value == right.mean() == finished_run.results.rounds[1].test.value
    assert found.training("r2").parameters == again.rounds[1].parameters
    assert (found.model_folder("r2") / "model.safetensors").is_file()
    assert len(found.references("validation")) == len(found.said("r1", "validation")) == 36


def test_every_model_is_tried_before_it_is_trained(recipe_tree):
    recipe = reading.validate(recipe_tree, "test")
    whole = make_plan(recipe, fingerprints.look_up(recipe))
    names = [step.name for step in without_files(whole).steps]
    assert {"probe-teacher", "probe-r1", "probe-r2", "teacher", "r1", "test-r2-control"} <= set(names)
    assert names.index("probe-r2") < names.index("teacher")
    assert [step.name for step in whole.steps if step.name in names] == names


def test_seeds_are_models_of_their_own(recipe_tree):
    recipe = reading.validate({**recipe_tree, "seeds": [5]}, "test")
    names = [step.name for step in without_files(make_plan(recipe, fingerprints.look_up(recipe))).steps]
    assert "test-r1-seed5" in names
    assert EvaluatedRun(None, recipe, stand_in()).suffixes == ("", "-seed5")


def test_what_a_notebook_shows_of_results_is_short(finished_run, tmp_path):
    folder = tmp_path / "whole"
    shutil.copytree(finished_run.folder, folder)
    found = edgedistill.evaluate(finished_run.recipe, out=folder)
    assert repr(found) == (f"EvaluatedRun({str(folder)!r}, recipe 'tiny', models {', '.join(found.models)})")
    planned = edgedistill.plan(finished_run.recipe, out=folder)
    results = finished_run.results
    for shown in (planned, planned.plan, planned.plan.steps[0], results, str(results)):
        assert len(repr(shown)) < 400
    assert f"chosen={results.chosen!r}" in repr(results)
    for shown in (results.teacher, *results.rounds, *results.candidates):
        assert f"test={shown.test.value}" in repr(shown)
        assert len(repr(shown)) < 400
