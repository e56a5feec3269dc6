"""One small run with everything that rounds can do, read by all tests here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from helpers import record_of, tiny_recipe, write_recipe

import edgedistill
from edgedistill.data.prepared import PreparedData
from edgedistill.signals.recorded import Shards
from edgedistill.store.records.models import TrainedModel

pytestmark = pytest.mark.slow


def stage(name: str, *losses: Mapping[str, object], **change: object) -> dict[str, object]:
    return {"name": name, "epochs": 1, "learning_rate": 1e-3, "batch_size": 16, "losses": list(losses), **change}


def science_recipe(data_folder) -> dict[str, object]:
    tree = tiny_recipe(data_folder)
    kl = {"kind": "kl"}
    tree["rounds"] = [
        {
            "id": "r1",
            "student": {"init": "keep_layers", "layers": 1},
            "stages": [
                stage("own-objective", {"kind": "masked_lm"}, data=["unlabeled"]),
                stage(
                    "layers",
                    {"kind": "attention_mse"},
                    {"kind": "minilm_relations", "relation_heads": 4},
                    {"kind": "embedding"},
                    {"kind": "contrastive"},
                    {"kind": "hidden_cosine"},
                    data=["train", "unlabeled"],
                ),
                stage(
                    "soft-targets",
                    kl,
                    {"kind": "hard_label"},
                    epochs=4,
                    teacher_errors=0.5,
                    augment={"typo": 0.2, "mask": 0.1, "copies": 2},
                ),
            ],
        },
        {
            "id": "r2",
            "teacher": {"choose": ["teacher", "r1", ["teacher", "r1"]]},
            "student": {"init": "trim_vocabulary", "from": "r1", "coverage": 0.9},
            "stages": [
                stage("soft-targets", kl, epochs=2, errors={"of": "r1", "kind": "boost", "apply": "oversample"})
            ],
        },
        {
            "id": "r3",
            "teacher": "r2",
            "student": {"init": "static", "from": "r2", "dimensions": 8},
            "stages": [
                stage("soft-targets", kl, {"kind": "embedding"}, epochs=3, errors={"of": "r2", "against": "teacher"})
            ],
        },
    ]
    tree["seeds"] = [7]
    tree["evaluate"] = {"ood": {name: {"path": str(data_folder / f"{name}.jsonl")} for name in ("unlabeled", "mixed")}}
    tree["stop"] = {"when": {"accuracy_drop": 0.9}}
    return tree


@pytest.fixture(scope="module")
def science(data_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("science")
    recipe = write_recipe(science_recipe(data_folder), folder)
    return recipe, folder / "run", edgedistill.run(recipe, out=folder / "run")


def step(run, name: str):
    (folder,) = run.glob(f"steps/[0-9][0-9]-{name}")
    return folder


def test_every_round_and_candidate_is_there(science):
    _, _, results = science
    assert [round_.id for round_ in results.rounds] == ["r1", "r2", "r3"]
    assert {candidate.model for candidate in results.candidates} == {"r1", "r2", "r3"}
    assert all(candidate.agreement_with_student > 0.8 for candidate in results.candidates)
    assert results.rounds[2].parameters < results.rounds[1].parameters < results.rounds[0].parameters


def test_a_stage_without_a_loss_on_the_head_keeps_its_last_epoch_and_the_losses_are_recorded(science):
    _, run, _ = science
    epochs = record_of(TrainedModel, step(run, "r1")).epochs
    layers = next(epoch for epoch in epochs if epoch.stage == "layers")
    assert set(layers.losses) == {"attention_mse", "minilm_relations", "embedding", "contrastive", "hidden_cosine"}
    masked = next(epoch for epoch in epochs if epoch.stage == "own-objective")
    assert 3 < masked.losses["masked_lm"] < 7  # log(300) is 5.7


def test_views_are_further_items_with_signals_of_their_own(science):
    _, run, _ = science
    views = PreparedData.at(step(run, "views-r1-soft-targets"))
    originals = PreparedData.at(step(run, "data"))
    assert len(views.rows("train")) == 2 * len(originals.rows("train"))
    assert any("[MASK]" in row["text"] for row in views.rows("train"))
    assert list(views.items("train").values["labels"]) == 2 * list(originals.items("train").values["labels"])
    signal = Shards.of([step(run, "logits-teacher-train-r1-soft-targets") / "logits-00000.safetensors"])
    assert len(signal) == len(views.rows("train"))


def test_models_are_asked_about_sets_from_elsewhere(science, data_folder):
    _, _, results = science
    for model in (results.teacher, *results.rounds):
        assert 0 <= model.calibration_error <= 1
        outside, mixed = model.ood["unlabeled"], model.ood["mixed"]
        assert (outside.examples, outside.out_of_scope, outside.primary) == (60, 60, None)
        assert 0 <= outside.auroc.low <= outside.auroc.value <= outside.auroc.high <= 1
        assert (mixed.examples, mixed.out_of_scope) == (30, 15)
        assert mixed.primary is not None
    # The sentences with labels are the test set's own first intent: the figure is that of the test set there.
    assert results.teacher.ood["mixed"].primary.value > 0.3


def test_the_plan_says_what_is_live_and_why(science):
    recipe, run, _ = science
    planned = edgedistill.plan(recipe, out=run).plan
    assert "attention live: it grows quadratically with length" in planned.step("r1").summary
    assert "relations live: queries, keys and values" in planned.step("r1").summary


def test_the_teacher_was_chosen_by_trials_on_validation(science):
    _, _, results = science
    trials = results.rounds[1].teacher_trials
    assert [trial.teacher for trial in trials] == [("teacher",), ("r1",), ("teacher", "r1")]
    best = max(trials, key=lambda trial: trial.value)
    assert results.rounds[1].teacher == " + ".join(best.teacher)


def test_every_seed_is_reported_and_files_are_made_of_the_first(science):
    _, run, results = science
    for round_ in results.rounds:
        assert [found.seed for found in round_.seeds] == [4, 7]
        assert round_.seeds[0].value == round_.test.value
        assert round_.seeds[1].control is not None
    assert not list(run.glob("steps/*file-r1-seed7*"))
    first, second = (step(run, name) / "model" / "model.safetensors" for name in ("r1", "r1-seed7"))
    assert first.read_bytes() != second.read_bytes()


def test_errors_are_counted_and_shown_with_their_texts(science):
    _, _, results = science
    for round_ in results.rounds:
        for kind, count in round_.errors.model_dump().items():
            assert len(results.errors[round_.id][kind]) == min(count, 20)
    for found in results.errors["r2"]["introduced"]:
        assert found.model != found.reference
    for found in results.errors["r3"]["inherited"]:
        assert found.model == found.teacher != found.reference


def test_the_rule_said_after_every_round_why_it_went_on(science):
    _, _, results = science
    assert results.stop.round == "r3"
    assert not results.stop.early
    assert results.stop.reason.startswith("all 3 rounds ran; r3's accuracy drop on validation is ")
    assert [judgement.round for judgement in results.stop.judgements] == ["r1", "r2", "r3"]


def test_a_rule_that_fires_ends_the_run_and_the_plan_and_repeats_nothing(science):
    recipe, run, _ = science
    kept = set(run.glob("artifacts/*/manifest.json"))
    stopping = ["stop.when.limits_met=true", "select.limits.file_mb=100"]
    results = edgedistill.run(recipe, stopping, out=run)
    assert results.stop.round == "r1"
    assert results.stop.early
    assert [round_.id for round_ in results.rounds] == ["r1"]
    made = [json.loads(file.read_text())["step"] for file in set(run.glob("artifacts/*/manifest.json")) - kept]
    assert made
    assert not any("r2" in name for name in [*made, *(path.name for path in run.glob("steps/*"))])
    planned = edgedistill.plan(recipe, stopping, out=run)
    assert not any(planned_step.name == "r2" for planned_step in planned.plan.steps)
    assert len(planned.done) == len(planned.plan.steps)


def test_the_reports_show_it(science):
    recipe, run, _ = science
    edgedistill.run(recipe, out=run)
    page, text = (run / "report.html").read_text(), (run / "report.md").read_text()
    for found in (page, text):
        assert "all 3 rounds ran" in found
        assert "corrected" in found
        assert "inherited" in found
    assert "2 seeds" in page
    assert 'id="errors"' in page
    assert 'id="rounds-plot"' in page


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("rounds", 2, "stages", 0, "losses", 1, "kind", "hidden_mse"), "compares token by token, but 'r2' and 'r3'"),
        (("rounds", 1, "stages", 0, "losses", 0, "kind", "embedding"), "cannot be used with a choice of teachers"),
        (("rounds", 0, "stages", 1, "errors", {"of": "r2"}), "rounds.0.stages.1.errors.of: got 'r2', expected one of"),
        (("rounds", 0, "stages", 1, "errors", {"of": "teacher"}), "no loss of the stage is per example"),
        (("rounds", 0, "stages", 0, "teacher_errors", 0.5), "got 0.5, but no loss uses the teacher's logits"),
        (("rounds", 0, "stages", 1, "name", "own-objective"), "expected a name that is unique in the round"),
        (("seeds", [4]), "expected seeds distinct from each other and from 'seed'"),
        (("stop", {"when": {}}), "expected 'drop' or 'limits_met: true'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(data_folder, tmp_path, change, expected):
    tree = science_recipe(data_folder)
    at: Any = tree
    for key in change[:-2]:
        at = at[key]
    at[change[-2]] = change[-1]
    with pytest.raises(edgedistill.errors.UserError) as caught:
        edgedistill.plan(write_recipe(tree, tmp_path))
    assert expected in str(caught.value)
