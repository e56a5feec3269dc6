"""A teacher that is used as it is: which of its outputs is which label, from the recipe to the metric."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from helpers import LABELS, heard, quickstart_rows, record_of, write_jsonl, write_recipe
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from edgedistill.engine.local import execute
from edgedistill.errors import EdgedistillError
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.store.progress import Progress
from edgedistill.store.records.data import TokenisedData

ORDER = [2, 0, 1]  # of the teacher's outputs, among the labels as the finished run has them


@pytest.fixture(scope="module")
def teachers(finished_run, tmp_path_factory):
    """The finished run's teacher with its outputs in another order, under several names, and its labels."""
    folder = tmp_path_factory.mktemp("teachers")
    model = AutoModelForSequenceClassification.from_pretrained(finished_run.folder / "models" / "teacher")
    own = [model.config.id2label[i] for i in ORDER]
    for parameter in (model.classifier.weight, model.classifier.bias):
        parameter.data = parameter.data[ORDER].clone()
    tokenizer = AutoTokenizer.from_pretrained(finished_run.folder / "models" / "teacher")
    names = {"named": own, "upper": [name.upper() for name in own], "unnamed": ["LABEL_0", "LABEL_1", "LABEL_2"]}
    for name, labels in names.items():
        model.config.id2label = dict(enumerate(labels))
        model.config.label2id = {label: i for i, label in enumerate(labels)}
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder, own


def recipe_of(tree, tmp_path, model, **data):
    tree = copy.deepcopy(tree)
    tree["teacher"] = {"model": str(model), "fine_tune": None}
    tree["data"] |= data
    return write_recipe(tree, tmp_path)


def run_teacher(recipe_file, tmp_path, *overrides):
    """Run until the teacher; the artifacts, and what was said."""
    recipe = reading.load(recipe_file, overrides)
    plan = make_plan(recipe, fingerprints.look_up(recipe))
    wanted = ("data", "data-validation", "teacher", "ood")
    steps = tuple(step for step in plan.steps if step.name in wanted)
    with heard() as said:
        done = execute(replace(plan, steps=steps), tmp_path / "run", Progress())
    return done, "\n".join(said)


@pytest.mark.parametrize("name", ["named", "upper"])
def test_outputs_are_found_by_their_names(teachers, recipe_tree, tmp_path, name):
    folder, own = teachers
    done, said = run_teacher(recipe_of(recipe_tree, tmp_path, folder / name), tmp_path)
    content = record_of(TokenisedData, done["data"].folder)
    assert list(content.labels) == own
    assert content.teacher_labels == {"named": "exact", "upper": "case"}[name]
    assert ("except for case" in said) == (name == "upper")


def test_names_beside_numbered_outputs_need_the_recipes_word(teachers, recipe_tree, tmp_path):
    folder, own = teachers
    file = recipe_of(recipe_tree, tmp_path, folder / "unnamed")
    with pytest.raises(EdgedistillError, match=r"its outputs have no names.*data\.labels: \{") as caught:
        run_teacher(file, tmp_path)
    assert caught.value.exit_code == 2
    right = {label: f"LABEL_{i}" for i, label in enumerate(own)}
    done, _ = run_teacher(recipe_of(recipe_tree, tmp_path, folder / "unnamed", labels=right), tmp_path)
    assert list(record_of(TokenisedData, done["data"].folder).labels) == ["LABEL_0", "LABEL_1", "LABEL_2"]


def test_a_wrong_order_is_at_chance_and_stops_unless_accepted(teachers, recipe_tree, tmp_path):
    folder, own = teachers
    wrong = {label: f"LABEL_{(i + 1) % 3}" for i, label in enumerate(own)}
    file = recipe_of(recipe_tree, tmp_path, folder / "unnamed", labels=wrong)
    with pytest.raises(EdgedistillError, match=r"no better than chance: .*teacher\.accept_chance: true") as caught:
        run_teacher(file, tmp_path)
    assert caught.value.exit_code == 2
    done, said = run_teacher(file, tmp_path, "teacher.accept_chance=true")
    assert "accepted by teacher.accept_chance" in said
    assert "teacher" in done


def test_the_map_holds_for_every_split_and_for_sets_from_elsewhere(recipe_tree, data_folder, tmp_path):
    tree = copy.deepcopy(recipe_tree)
    tree["data"]["labels"] = {label: label[::-1] for label in LABELS}
    elsewhere = [{"text": "is it raining", "label": LABELS[0]}, {"text": "who are you", "label": "other"}]
    tree["evaluate"] = {"ood": {"more": {"path": str(write_jsonl(tmp_path / "more.jsonl", elsewhere))}}}
    done, _ = run_teacher(write_recipe(tree, tmp_path), tmp_path)
    names = sorted(label[::-1] for label in LABELS)
    assert list(record_of(TokenisedData, done["data"].folder).labels) == names
    from edgedistill.data.prepared import open_table

    assert sorted(set(open_table(done["data"].folder / "train" / "rows")["label"])) == names
    assert sorted(set(open_table(done["data-validation"].folder / "validation" / "rows")["label"])) == names
    assert open_table(done["ood"].folder / "more" / "rows")["label"] == [LABELS[0][::-1], None]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"weather": "a"}, ", expected an entry for it"),
        ({"weather": "a", "set_alarm": "b", "play_music": "c", "tea": "d"}, "got 'tea', which is not a label of"),
        ({"weather": "a", "set_alarm": "a", "play_music": "c"}, "a different name for every label, got 'a' twice"),
        ({"weather": "", "set_alarm": "a", "play_music": "c"}, "without empty names"),
    ],
)
def test_a_map_with_a_mistake_is_one_sentence(recipe_tree, tmp_path, labels, expected):
    tree = copy.deepcopy(recipe_tree)
    tree["data"]["labels"] = labels
    with pytest.raises(EdgedistillError, match=expected) as caught:
        run_teacher(write_recipe(tree, tmp_path), tmp_path)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_the_map_is_in_the_key_of_the_data_and_of_a_rounds_own(recipe_tree, data_folder, tmp_path):
    tree = copy.deepcopy(recipe_tree)
    own = {split: {"path": str(data_folder / f"{split}.jsonl")} for split in ("train", "validation", "test")}
    tree["rounds"][0]["data"] = {**own, "max_length": 32}
    tree["rounds"][0]["fine_tune"] = {"epochs": 1}
    tree["rounds"][0]["stages"][0]["data"] = ["train"]
    tree["rounds"][1]["teacher"] = "teacher"
    file = write_recipe(tree, tmp_path)
    labels = json.dumps({label: label.upper() for label in LABELS})

    def keys(*overrides):
        recipe = reading.load(file, overrides)
        return {step.name: step.key for step in make_plan(recipe, fingerprints.look_up(recipe)).steps}

    before = keys()
    for place, changed in (("data", {"data", "data-test"}), ("rounds.0.data", {"data-r1"})):
        after = keys(f"{place}.labels={labels}")
        assert all(before[name] != after[name] for name in changed)
    assert keys(f"rounds.0.data.labels={labels}")["data"] == before["data"]


def test_a_label_called_path_is_no_path(recipe_tree, tmp_path):
    tree = copy.deepcopy(recipe_tree)
    tree["data"]["labels"] = {"path": "somewhere"}
    assert reading.load(write_recipe(tree, tmp_path)).data.labels == {"path": "somewhere"}


def test_quickstart_rows_have_the_labels_that_these_tests_count_on():
    assert {"weather", "set_alarm", "play_music"} == set(LABELS) <= {row["label"] for row in quickstart_rows("train")}
