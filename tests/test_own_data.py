"""Adaptation: a round on another data set with labels of its own, then a round that takes its body back."""

from __future__ import annotations

import copy
import json

import pytest
from helpers import Tree, quickstart_rows, record_of, tiny_recipe, write_jsonl, write_recipe
from safetensors.torch import load_file

import edgedistill
from edgedistill.errors import UserError
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.store.records.models import Evaluation


@pytest.fixture(scope="module")
def other_data(tmp_path_factory):
    """Four other intents."""
    folder = tmp_path_factory.mktemp("other")
    labels = sorted({row["label"] for row in quickstart_rows("train")} - {"set_alarm", "weather", "play_music"})[:4]
    for split, count in (("train", 20), ("validation", 8), ("test", 10)):
        rows = quickstart_rows(split)
        chosen = [row for name in labels for row in [r for r in rows if r["label"] == name][:count]]
        write_jsonl(folder / f"{split}.jsonl", chosen)
    return folder


def adapting(data_folder, other_data) -> Tree:
    tree = copy.deepcopy(tiny_recipe(data_folder))
    first, second = tree["rounds"]
    first["data"] = {split: {"path": str(other_data / f"{split}.jsonl")} for split in ("train", "validation", "test")}
    first["data"]["max_length"] = 32
    first["fine_tune"] = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 16}
    first["stages"][0]["data"] = ["train"]
    second["teacher"] = "teacher"
    second["student"] = {"init": "keep_layers", "from": "r1", "layers": 1}
    tree["rounds"][1]["stages"][0] |= {"epochs": 2, "learning_rate": 1e-3}  # so that its words stay near r1's
    return tree


def planned(tree, tmp_path, *overrides):
    recipe = reading.load(write_recipe(tree, tmp_path), overrides)
    return make_plan(recipe, fingerprints.look_up(recipe))


@pytest.fixture(scope="module")
def adapted(data_folder, other_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapted")
    tree = adapting(data_folder, other_data)
    tree["stop"] = {"when": {"accuracy_drop": 0.9}}
    results = edgedistill.run(write_recipe(tree, folder), out=folder / "run")
    return folder / "run", results


def labels(run, model: str) -> int:
    config = json.loads((run / "models" / model / "config.json").read_text())
    return len(config["id2label"])


def weights(run, model: str):
    return load_file(run / "models" / model / "model.safetensors")["bert.embeddings.word_embeddings.weight"]


@pytest.mark.slow
def test_the_head_is_replaced_and_the_body_goes_on(adapted):
    run, _ = adapted
    assert labels(run, "r1") == 4
    assert labels(run, "r2") == labels(run, "teacher") == 3
    (tuned,) = run.glob("steps/[0-9][0-9]-teacher-r1")
    assert len(json.loads((tuned / "model" / "config.json").read_text())["id2label"]) == 4
    words = {name: weights(run, name) for name in ("teacher", "r1", "r2")}
    assert (words["r2"] - words["r1"]).norm() < 0.5 * (words["r2"] - words["teacher"]).norm()


@pytest.mark.slow
def test_its_figures_are_on_its_own_test_set_against_its_own_teacher(adapted):
    run, results = adapted
    first, second = results.rounds
    assert first.teacher == "teacher-r1"
    assert first.own_teacher is not None
    assert first.drop.value == pytest.approx(first.own_teacher.value - first.test.value)
    assert first.own_teacher.low < first.own_teacher.value < first.own_teacher.high + 1e-9
    assert second.own_teacher is None
    (evaluated,) = run.glob("steps/[0-9][0-9]-test-r1")
    assert record_of(Evaluation, evaluated).value == pytest.approx(first.test.value)
    references = {error.reference for kind in results.errors["r1"].values() for error in kind}
    assert not references & {"set_alarm", "weather", "play_music"}


@pytest.mark.slow
def test_it_is_no_candidate_and_is_not_judged(adapted):
    _, results = adapted
    assert {candidate.model for candidate in results.candidates} == {"r2"}
    assert [judgement.round for judgement in results.stop.judgements] == ["r2"]


@pytest.mark.slow
def test_the_report_says_where_its_figures_are_from(adapted):
    run, results = adapted
    text = f"on its own data, where teacher-r1 has {results.rounds[0].own_teacher.value:.4f}"
    assert text in (run / "report.md").read_text()
    assert "on its own data, where this teacher has" in (run / "report.html").read_text()


def test_changed_data_or_tuning_reruns_the_round_and_not_the_teacher(data_folder, other_data, tmp_path):
    tree = adapting(data_folder, other_data)
    plan = planned(tree, tmp_path)
    before = {step.key for step in plan.steps}
    assert plan.step("r1").inputs.source.step == "teacher-r1"
    assert plan.step("r2").inputs.source.step == "r1"
    for override, expected in (
        ("rounds.0.fine_tune.epochs=2", {"teacher-r1", "r1", "r2"}),
        ("rounds.0.data.train.split=train[:50%]", {"data-r1", "teacher-r1", "r1", "r1-control", "r2"}),
    ):
        found = {step.name for step in planned(tree, tmp_path, override).steps if step.key not in before}
        assert expected <= found
        assert not found & {"data", "teacher", "evaluate-teacher"}


def test_where_the_data_lies_changes_nothing(data_folder, other_data, tmp_path):
    tree = adapting(data_folder, other_data)
    copied = tmp_path / "moved.jsonl"
    copied.write_bytes((other_data / "train.jsonl").read_bytes())
    keys = [planned(tree, tmp_path, *change).step("r1").key for change in ((), (f"rounds.0.data.train.path={copied}",))]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rounds.0.fine_tune": "null"}, "expected 'data' and 'fine_tune' together"),
        ({"rounds.1.teacher": "r1"}, "rounds.1.teacher: got 'r1', which was trained on other labels"),
        (
            {"rounds.0.student": "{init: trim_vocabulary}"},
            "rounds.0.student: a round with its own 'data' keeps the teacher's tokenizer",
        ),
        (
            {"rounds.1.stages.0.errors": "{of: r1}"},
            "rounds.1.stages.0.errors.of: got 'r1', which was trained on other labels",
        ),
        ({"rounds.0.stages.0.data": "[train, unlabeled]"}, "but the round's 'data.unlabeled' is not given"),
    ],
)
def test_what_cannot_be_is_refused(data_folder, other_data, tmp_path, change, message):
    with pytest.raises(UserError, match=message.replace("[", "\\[").replace(".", "\\.")):
        planned(adapting(data_folder, other_data), tmp_path, *(f"{key}={value}" for key, value in change.items()))


def test_only_rounds_elsewhere_are_refused(data_folder, other_data, tmp_path):
    tree = adapting(data_folder, other_data)
    tree["rounds"] = tree["rounds"][:1]
    with pytest.raises(UserError, match="expected at least one on the recipe's data"):
        planned(tree, tmp_path)
