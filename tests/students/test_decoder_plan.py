"""Decoders' students in the plan and in a run."""

from __future__ import annotations

import pytest
import torch
from helpers import LABELS, tiny_recipe, write_recipe
from tiny_decoders import FAMILIES
from transformers import AutoConfig, AutoModelForSequenceClassification

import edgedistill
from edgedistill import api
from edgedistill.cli import tables
from edgedistill.models.learned_vocabulary import learn_tokenizer

ROUNDS = [
    {"init": "shrink", "parameters": 3e4},
    {"init": "narrow", "from": "r1", "hidden_size": 16, "layers": 1, "choose": "block_influence"},
    {"init": "scratch", "parameters": 2e4},
    {"init": "keep_layers", "layers": 2, "choose": "loss"},
]


@pytest.fixture
def recipe(data_folder, tmp_path):
    """Writes a recipe for students of a tiny decoder with a classifier on it."""

    def write(family: str, *students: dict[str, object]):
        given = dict(FAMILIES[family]) | {"vocab_size": 300}
        torch.manual_seed(0)
        config = AutoConfig.for_model(given.pop("model_type"), **given, num_labels=len(LABELS))
        AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "teacher")
        words = ["a text about nothing in particular"]
        learn_tokenizer(words, 300, 32).save_pretrained(str(tmp_path / "teacher"))
        tree = tiny_recipe(data_folder)
        stage = {"name": "s", "epochs": 1, "learning_rate": 1e-3, "batch_size": 16, "losses": [{"kind": "kl"}]}
        rounds = [
            {"id": f"r{i}", "teacher": "teacher", "student": student, "stages": [stage]}
            for i, student in enumerate(students, 1)
        ]
        teacher = {"model": str(tmp_path / "teacher"), "fine_tune": {"epochs": 1}}
        more = {"teacher": teacher, "rounds": rounds, "control": False, "quantize": [{"precision": "fp32"}]}
        return write_recipe(tree | more, tmp_path)

    return write


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_the_plan_tells_the_shape_that_is_chosen_and_counts_it_exactly(recipe, family, tmp_path, capsys):
    planned = api.plan(recipe(family, *ROUNDS[:3]), out=tmp_path / "run")
    shown = {model.id: model for model in planned.plan.models}
    assert all(model.exact for model in shown.values())
    assert 0.9 * 30_000 < shown["r1"].parameters <= 30_000
    assert (shown["r2"].layers, shown["r2"].hidden_size) == (1, 16)
    one = shown["r1"]
    groups = 6 if family == "gpt2" else 3
    assert shown["teacher"].key_value_heads == groups
    tables.plan(planned)
    (line,) = [line.split() for line in capsys.readouterr().out.splitlines() if line.split()[:2] == ["r1", "shrink"]]
    heads = str(one.heads) if family == "gpt2" else f"{one.heads}/{one.key_value_heads}"
    told = [str(one.layers), str(one.hidden_size), heads, str(one.intermediate_size), f"{one.parameters / 1e6:.2f}"]
    assert line[2:7] == told


@pytest.mark.slow
def test_a_run_makes_the_students_that_its_plan_tells(recipe, tmp_path):
    file = recipe("qwen3", *ROUNDS)
    planned = {model.id: model.parameters for model in api.plan(file, out=tmp_path / "plan").plan.models}
    results = edgedistill.run(file, out=tmp_path / "run", stream=None)
    assert {round_.id: round_.parameters for round_ in results.rounds} == {
        k: v for k, v in planned.items() if k != "teacher"
    }
    assert {
        candidate.model: candidate.agreement_with_student
        for candidate in results.candidates
        if candidate.model != "teacher"
    } == {f"r{i}": 1.0 for i in range(1, 5)}
