"""Sizes in the plan of architectures without a formula: exactly those of the models that a run makes."""

from __future__ import annotations

import subprocess

import pytest
from helpers import LABELS, write_recipe
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill import api, plugins
from edgedistill.contracts.student import StudentRequest
from edgedistill.learned_vocabulary import learn_tokenizer
from edgedistill.memory import recall, remember
from edgedistill.models import parameter_count
from edgedistill.planning import exact_sizes

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

    def plan(architecture: str, **more):
        config = AutoConfig.for_model(architecture, **SIZES | more, num_labels=len(LABELS))
        AUTO.from_config(config).save_pretrained(tmp_path / "teacher")
        learn_tokenizer(["a text"], 60, 32).save_pretrained(str(tmp_path / "teacher"))
        stage = {**recipe_tree["rounds"][-1]["stages"][0], "losses": [{"kind": "kl"}]}
        recipe_tree["teacher"] = {"model": str(tmp_path / "teacher"), "fine_tune": {"epochs": 1}}
        recipe_tree["rounds"] = [
            {"id": f"r{i}", "teacher": "teacher", "student": student, "stages": [stage]}
            for i, student in enumerate((KEEP, SCRATCH, DEEPER), 1)
        ]
        found = api.plan(write_recipe(recipe_tree, tmp_path), out=tmp_path / "run").plan
        return found, {each.id: (each.layers, each.hidden_size, each.parameters) for each in found.models}

    return plan


@pytest.mark.parametrize(
    ("architecture", "more"),
    [
        pytest.param("gpt2", {"n_positions": 40}, marks=pytest.mark.slow),
        pytest.param("deberta-v2", {"intermediate_size": 48, "max_position_embeddings": 40}, marks=pytest.mark.slow),
        ("modernbert", {"intermediate_size": 48, "max_position_embeddings": 40}),
    ],
)
def test_they_are_those_of_the_models_that_are_made(planned, architecture, more, tmp_path):
    plan, found = planned(architecture, **more)
    models = {"teacher": AUTO.from_pretrained(tmp_path / "teacher")}
    for each in plan.recipe.rounds:
        source = tmp_path / each.student.from_
        models[each.student.from_].save_pretrained(source)
        request = StudentRequest(each.student, source, AUTO, {}, None, [])
        models[each.id] = plugins.student(each.student.init).build(request)
    for name, model in models.items():
        made = (model.config.num_hidden_layers, model.config.hidden_size, parameter_count(model))
        assert found[name] == made, name


def test_they_are_remembered_and_made_again_where_the_memory_is_damaged(planned, monkeypatch):
    _, first = planned("gpt2", n_positions=40)
    started = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *words, **more: started.append(words) or run(*words, **more))
    assert planned("gpt2", n_positions=40)[1] == first
    assert started == []
    remember("sizes.json", {key: {"layers": "many"} for key in recall("sizes.json")})
    assert planned("gpt2", n_positions=40)[1] == first
    assert len(started) == 1


def test_what_no_library_builds_stays_unknown():
    request = {"task": "text-classification", "config": {"model_type": "no-such"}, "labels": 2, "resizes": []}
    assert exact_sizes.sizes({"teacher": request}) == {}


def test_a_process_that_fails_costs_the_sizes_only(monkeypatch):
    def fail(*words, **more):
        raise subprocess.TimeoutExpired("python", 1)

    monkeypatch.setattr(subprocess, "run", fail)
    assert exact_sizes.sizes({"teacher": {"task": "text-classification"}}) == {}
