"""Factorised and pruned students in a whole run: losses on their inside, further rounds from them, device files."""

from __future__ import annotations

import json

import pytest
from helpers import tiny_recipe, write_recipe

import edgedistill
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading

INSIDE = [
    {"kind": "hidden_mse", "weight": 0.1},
    {"kind": "attention_mse"},
    {"kind": "minilm_relations", "relation_heads": 8},
]
TARGET = 24_000


def stage(*losses: dict[str, object]) -> list[dict[str, object]]:
    return [{"name": "s", "epochs": 1, "learning_rate": 1e-3, "batch_size": 16, "losses": list(losses)}]


def recipe(data_folder) -> dict[str, object]:
    pruned_losses = [INSIDE[0], {**INSIDE[1], "heads": "mean"}, INSIDE[2]]
    rounds = [
        {
            "id": "factorised",
            "student": {"init": "factorise", "embedding_size": 12},
            "stages": stage({"kind": "masked_lm"}, *INSIDE),
        },
        {
            "id": "trimmed",
            "student": {"init": "trim_vocabulary", "from": "factorised", "coverage": 0.9},
            "stages": stage({"kind": "kl"}),
        },
        {
            "id": "narrowed",
            "student": {"init": "narrow", "from": "factorised", "hidden_size": 16},
            "stages": stage({"kind": "kl"}),
        },
        {"id": "pruned", "student": {"init": "prune", "parameters": TARGET}, "stages": stage(*pruned_losses)},
        {
            "id": "fewer",
            "teacher": "pruned",
            "student": {"init": "keep_layers", "from": "pruned", "layers": 1},
            "stages": stage({"kind": "hidden_mse"}, {"kind": "minilm_relations", "relation_heads": 8}),
        },
    ]
    quantize = [{"precision": "fp32"}]
    return tiny_recipe(data_folder) | {"rounds": rounds, "control": False, "quantize": quantize}


@pytest.mark.slow
def test_they_are_trained_exported_and_as_large_as_planned(data_folder, tmp_path):
    file = write_recipe(recipe(data_folder), tmp_path)
    found = reading.load(file)
    planned = {model.id: model.parameters for model in make_plan(found, fingerprints.look_up(found)).models}
    results = edgedistill.run(file, out=tmp_path / "run", stream=None)
    made = {round_.id: round_.parameters for round_ in results.rounds}
    assert made["factorised"] == planned["factorised"]
    assert made["narrowed"] == planned["narrowed"]
    assert planned["pruned"] == TARGET
    assert TARGET - 4 * 32 * 8 - 24 < made["pruned"] <= TARGET
    assert made["trimmed"] < made["factorised"]
    assert made["fewer"] < made["pruned"]
    configs = {name: json.loads((tmp_path / "run/models" / name / "config.json").read_text()) for name in made}
    whole = configs["pruned"]["heads_by_layer"][-1] == configs["pruned"]["num_attention_heads"]
    assert {name: config["model_type"] for name, config in configs.items()} == {
        "factorised": "electra",
        "trimmed": "electra",
        "narrowed": "electra",
        "pruned": "edgedistill-pruned-bert",
        "fewer": "bert" if whole else "edgedistill-pruned-bert",  # its one layer is the last; all heads: a stock BERT
    }
    assert configs["trimmed"]["embedding_size"] == configs["narrowed"]["embedding_size"] == 12
    assert {candidate.model: candidate.agreement_with_student for candidate in results.candidates} == dict.fromkeys(
        made, 1.0
    )
