"""Sizes in the plan: exactly those of the models that a run makes, and marked where they can't be."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from helpers import LABELS, write_recipe
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill import api
from edgedistill.cli import tables
from edgedistill.contracts import registry
from edgedistill.contracts.batch import Batch
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.contracts.student import StudentRequest
from edgedistill.models.learned_vocabulary import learn_tokenizer
from edgedistill.models.loading import parameter_count
from edgedistill.models.meta_sizes import Request
from edgedistill.planning import exact_sizes
from edgedistill.system.memory import recall, remember

AUTO = AutoModelForSequenceClassification
SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 60, "pad_token_id": 0}
KEEP = {"init": "keep_layers", "layers": 2}
SCRATCH = {"init": "scratch", "from": "r1", "layers": 3, "hidden_size": 16, "heads": 2}
DEEPER = {"init": "keep_layers", "from": "r2", "layers": [2]}


@pytest.fixture(autouse=True)
def own_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def planned(recipe_tree, tmp_path):
    """The plan of rounds of a teacher of that architecture, and the sizes that it gives."""

    def plan(architecture: str, *students, **more):
        config = AutoConfig.for_model(architecture, **SIZES | more, num_labels=len(LABELS))
        AUTO.from_config(config).save_pretrained(tmp_path / "teacher")
        learn_tokenizer(["a text"], 60, 32).save_pretrained(str(tmp_path / "teacher"))
        stage = {**recipe_tree["rounds"][-1]["stages"][0], "losses": [{"kind": "kl"}]}
        recipe_tree["teacher"] = {"model": str(tmp_path / "teacher"), "fine_tune": {"epochs": 1}}
        recipe_tree["rounds"] = [
            {"id": f"r{i}", "teacher": "teacher", "student": student, "stages": [stage]}
            for i, student in enumerate(students or (KEEP, SCRATCH, DEEPER), 1)
        ]
        found = api.plan(write_recipe(recipe_tree, tmp_path), out=tmp_path / "run").plan
        return found, {model.id: (model.layers, model.hidden_size, model.parameters) for model in found.models}

    return plan


@pytest.mark.parametrize(
    ("architecture", "more", "students"),
    [
        ("gpt2", {"n_positions": 40}, ()),
        ("deberta-v2", {"intermediate_size": 48, "max_position_embeddings": 40}, ()),
        ("modernbert", {"intermediate_size": 48, "max_position_embeddings": 40}, ()),
        (
            "bert",
            {"intermediate_size": 48, "max_position_embeddings": 40},
            (
                {"init": "narrow", "hidden_size": 16, "layers": 3},
                {"init": "narrow", "from": "r1", "parameters": 4000},
                {"init": "keep_layers", "from": "r1", "layers": 1},
            ),
        ),
    ],
)
def test_they_are_those_of_the_models_that_are_made(planned, architecture, more, students, tmp_path):
    plan, found = planned(architecture, *students, **more)
    models = {"teacher": AUTO.from_pretrained(tmp_path / "teacher")}
    ids = models["teacher"].dummy_inputs["input_ids"] % 60
    mask, owner = ids * 0 + 1, torch.arange(len(ids))
    probe = [Batch({"input_ids": ids, "attention_mask": mask}, {}, mask, owner, owner * 0 == 0)]
    for round_ in plan.recipe.rounds:
        source = tmp_path / round_.student.from_
        models[round_.student.from_].save_pretrained(source)
        request = StudentRequest(round_.student, source, AUTO, {}, None, probe)
        models[round_.id] = registry.student(round_.student.init).build(request)
    for name, model in models.items():
        made = (model.config.num_hidden_layers, model.config.hidden_size, parameter_count(model))
        assert found[name] == made, name
    assert all(model.exact for model in plan.models)


def test_a_checkpoint_has_the_layers_that_are_asked_for(planned, tmp_path):
    student = {"init": "checkpoint", "model": str(tmp_path / "teacher"), "layers": 1}
    _, found = planned("gpt2", student, KEEP, n_positions=40)
    by_layer = (found["teacher"][2] - found["r2"][2]) // 2
    assert found["r1"] == (1, 32, found["teacher"][2] - 3 * by_layer)


def test_what_follows_from_the_data_is_marked_as_estimated(planned, capsys, tmp_path):
    students = (
        {"init": "prune", "parameters": 20_000},
        {"init": "keep_layers", "from": "r1", "layers": 2},
        {"init": "trim_vocabulary"},
    )
    plan, found = planned("bert", *students, intermediate_size=48, max_position_embeddings=40)
    assert found["r1"] == (4, 32, 20_000)
    assert found["r2"] == (2, 32, None)
    assert found["r3"] == (None, None, None)
    assert [model.exact for model in plan.models] == [True, False, False, False]
    tables.plan(api.PlannedRun(plan, tmp_path, frozenset()))
    shown = capsys.readouterr().out
    assert "~0.02 M" in shown
    assert "~ : estimate; depends on data that has not been read yet" in shown


def test_a_teacher_from_nothing_is_estimated_of_the_vocabulary_that_is_asked_for(recipe_tree, tmp_path):
    found = api.plan(write_recipe(recipe_tree, tmp_path), out=tmp_path / "run").plan.models
    assert found[0].parameters > 0
    assert not any(model.exact for model in found)


def test_they_are_remembered_and_made_again_where_the_memory_is_damaged(planned, monkeypatch):
    _, first = planned("gpt2", n_positions=40)
    started = []
    here = exact_sizes.built_here
    monkeypatch.setattr(exact_sizes, "built_here", lambda missing: started.append(set(missing)) or here(missing))
    assert planned("gpt2", n_positions=40)[1] == first
    assert started == []
    remember("shapes.json", {key: {"layers": "many"} for key in recall("shapes.json")})
    assert planned("gpt2", n_positions=40)[1] == first
    assert started == [set(first)]


BERT: Request = {
    "task": "text-classification",
    "source": {"model_type": "bert", **SIZES, "intermediate_size": 48, "max_position_embeddings": 40},
    "scratch": None,
    "labels": 3,
    "students": [],
}


def test_another_process_finds_the_same(monkeypatch):
    here = exact_sizes.built_here({"teacher": BERT})
    monkeypatch.delitem(sys.modules, "torch")
    assert exact_sizes.shapes({"teacher": BERT}) == here
    assert isinstance(here["teacher"], ModelShape)


def test_what_no_library_builds_stays_unknown():
    request: Request = {**BERT, "source": {"model_type": "no-such"}}
    assert exact_sizes.shapes({"teacher": request, "other": BERT}).keys() == {"other"}


def test_a_process_that_fails_costs_the_sizes_only(monkeypatch, caplog):
    def fail(*words, **more):
        raise subprocess.TimeoutExpired("python", 1)

    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(subprocess, "run", fail)
    assert exact_sizes.shapes({"teacher": BERT}) == {}
    assert "model sizes are unknown: the process that computes them failed" in caplog.text
