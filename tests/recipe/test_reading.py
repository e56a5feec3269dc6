from __future__ import annotations

import json
import os
import shutil

import pytest
import yaml
from helpers import write_recipe
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.contracts import registry
from edgedistill.errors import RecipeError, UserError
from edgedistill.recipe import reading

RUNTIMES, TARGETS = (", ".join(registry.names(group)) for group in ("runtimes", "exporters"))


def problems(tree: dict[str, object], tmp_path) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        reading.load(write_recipe(tree, tmp_path))
    return [line.split("recipe.yaml: ", 1)[1] for line in caught.value.problems]


def test_all_problems_are_reported_together_each_with_path_value_and_expectation(recipe_tree, tmp_path):
    recipe_tree["seed"] = -1
    recipe_tree["rounds"][0]["stages"][0]["epochs"] = "many"
    recipe_tree["rounds"][0]["stages"][0]["losses"][0]["temprature"] = 2.0  # codespell:ignore
    recipe_tree["rounds"][1]["student"]["init"] = "narow"
    assert problems(recipe_tree, tmp_path) == [
        "seed: got -1, expected greater than or equal to 0",
        "rounds.0.stages.0.epochs: got 'many', expected integer",
        "rounds.0.stages.0.losses.0.temprature: unknown key; did you mean 'temperature'? "  # codespell:ignore
        "(known here: kind, temperature, weight)",
        "rounds.1.student.init: got 'narow', expected one of checkpoint, factorise, keep_layers, narrow, "
        "prune, scratch, shrink, static, trim_vocabulary; did you mean 'narrow'?",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"techer": {}}, "techer: unknown key; did you mean 'teacher'?"),  # codespell:ignore
        (
            {"task": {"type": "text-classifcation", "metric": "accuracy"}},
            "did you mean 'text-classification'?",
        ),
        (
            {"task": {"type": "text-classification", "metric": "acc"}},
            "task.metric: got 'acc', expected one of accuracy",
        ),
        (
            {"quantize": [{"precision": "int9"}]},
            "quantize.0.precision: got 'int9', expected one of fp16, fp32",
        ),
        ({"measure": {"runtimes": ["onnx"]}}, f"measure.runtimes.0: got 'onnx', expected one of {RUNTIMES}"),
        (
            {"export": {"targets": ["onxx"]}},
            f"export.targets.0: got 'onxx', expected one of {TARGETS}; did you mean 'onnx'?",
        ),
        ({"name": "a b"}, "name: got 'a b', expected"),
        ({"schema": "edgedistill/9"}, "schema: got 'edgedistill/9', expected 'edgedistill/1'"),
        ({"teacher": {}}, "teacher: expected either 'model' or 'scratch'"),
        (
            {"teacher": {"model": "a", "fine_tune": {"epochs": 0}}},
            "teacher.fine_tune.epochs: got 0, expected greater",
        ),
    ],
)
def test_a_wrong_key_gets_a_sentence(recipe_tree, tmp_path, change, expected):
    assert expected in "\n".join(problems(recipe_tree | change, tmp_path))


@pytest.mark.parametrize(
    ("round_change", "expected"),
    [
        ({"teacher": "r9"}, "rounds.1.teacher: got 'r9', expected one of teacher, r1"),
        ({"id": "r1"}, "rounds.1.id: got 'r1', expected a unique id"),
        ({"student": {"init": "narrow", "from": "r7", "hidden_size": 16}}, "rounds.1.student.from: got 'r7'"),
        (
            {"stages": [{"name": "s", "losses": [{"kind": "hidden_mse"}]}]},
            "rounds.1.stages.0.losses.0: 'hidden_mse' needs one teacher, got 2",
        ),
        (
            {"stages": [{"name": "s", "data": ["unlabeled"], "losses": [{"kind": "hard_label"}]}]},
            "'hard_label' needs labels, but data is only 'unlabeled'",
        ),
        (
            {"stages": [{"name": "s", "quantize": "fp16", "losses": [{"kind": "kl"}]}]},
            "rounds.1.stages.0.quantize: got 'fp16', expected one of int2, int4, int4-tables, int8, int8-dynamic",
        ),
    ],
)
def test_a_round_that_does_not_fit_the_recipe_is_refused(recipe_tree, tmp_path, round_change, expected):
    recipe_tree["rounds"][1] |= round_change
    assert expected in "\n".join(problems(recipe_tree, tmp_path))


def test_a_language_model_is_not_trained_in_the_arithmetic_of_its_file():
    with pytest.raises(RecipeError) as refused:
        reading.load("stories", ["rounds.0.stages.0.quantize=int4"])
    expected = "rounds.0.stages.0.quantize: got 'int4', which 'text-generation' does not support yet"
    assert expected in str(refused.value)


def test_unlabeled_data_must_be_given_to_be_used(recipe_tree, tmp_path):
    del recipe_tree["data"]["unlabeled"]
    assert "but 'data.unlabeled' is not given" in "\n".join(problems(recipe_tree, tmp_path))


def test_overrides_reach_into_lists_and_mappings(recipe_file):
    recipe = reading.load(recipe_file, ["rounds.0.stages.0.epochs=7", "select.limits.p95_ms=2.5", "seed=3"])
    assert recipe.rounds[0].stages[0].epochs == 7
    assert recipe.select.limits.p95_ms == 2.5
    assert recipe.seed == 3


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("epochs", "expected dotted.path=value"),
        ("rounds.9.id=x", "got '9' in rounds, expected a number below 2"),
        ("name.first=x", "name is 'tiny', which has no keys"),
        ("seed=[1", "the value is not YAML"),
    ],
)
def test_a_wrong_override_gets_a_sentence(recipe_file, override, expected):
    with pytest.raises(UserError, match="--set") as caught:
        reading.load(recipe_file, [override])
    assert expected in str(caught.value)


def test_extends_merges_below_and_keeps_the_parents_paths(tmp_path, recipe_tree):
    recipe_tree["data"]["train"]["path"] = "here/train.jsonl"
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "base.yaml").write_text(yaml.safe_dump(recipe_tree))
    (tmp_path / "child.yaml").write_text("extends: base/base.yaml\nname: child\nselect: {limits: {p95_ms: 3}}\n")
    recipe = reading.load(str(tmp_path / "child.yaml"))
    assert recipe.name == "child"
    assert recipe.select.limits.file_mb == 5
    assert recipe.select.limits.p95_ms == 3
    assert recipe.data.train.path == str(tmp_path / "base" / "here" / "train.jsonl")


def test_a_recipe_that_extends_itself_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(UserError, match=r"extends itself \(a.yaml -> b.yaml -> a.yaml\)"):
        reading.load(str(tmp_path / "a.yaml"))


def test_the_effective_recipe_loads_to_the_same_recipe(recipe_file, tmp_path):
    recipe = reading.load(recipe_file)
    (tmp_path / "effective.yaml").write_text(reading.dump(recipe))
    assert reading.load(str(tmp_path / "effective.yaml")) == recipe


def test_scientific_notation_without_a_dot_is_a_number(recipe_file):
    assert reading.load(recipe_file, ["rounds.0.stages.0.learning_rate=3e-4"]).rounds[0].stages[0].learning_rate == 3e-4


def test_a_key_given_twice_is_refused(tmp_path):
    (tmp_path / "twice.yaml").write_text("name: a\nname: b\n")
    with pytest.raises(UserError, match="key given twice: name"):
        reading.load(str(tmp_path / "twice.yaml"))


@pytest.mark.parametrize("text", ["- 1\n", "a: [\n", ""])
def test_a_file_that_is_no_recipe_gets_a_sentence(tmp_path, text):
    (tmp_path / "no.yaml").write_text(text)
    with pytest.raises(UserError, match=r"no\.yaml: "):
        reading.load(str(tmp_path / "no.yaml"))


def test_an_unknown_recipe_names_the_shipped_ones():
    with pytest.raises(UserError, match="did you mean 'quickstart'"):
        reading.load("quikstart")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_keys = st.sampled_from(["schema", "name", "task", "data", "teacher", "rounds", "quantize", "select", "measure", "x"])


@given(st.dictionaries(_keys, _json, max_size=6))
def test_any_tree_gives_a_recipe_or_sentences(tree):
    with pytest.raises(RecipeError) as caught:
        reading.validate(tree, "wild.yaml")
    assert all(line.startswith("wild.yaml: ") for line in caught.value.problems)


def test_paths_of_a_recipe_are_beside_it_wherever_they_stand(recipe_tree, tmp_path, monkeypatch):
    (tmp_path / "recipes" / "lm").mkdir(parents=True)
    recipe_tree["evaluate"] = {"ood": {"far": {"path": "far.jsonl"}}}
    recipe_tree["rounds"][0]["stages"][0]["augment"] = {"replace": 0.1, "masked_lm": "lm"}
    file = write_recipe(recipe_tree, tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    loaded = reading.load(file, ["evaluate.ood.near.path=near.jsonl"])
    assert loaded.evaluate.ood["far"].path == str(tmp_path / "recipes" / "far.jsonl")
    assert loaded.evaluate.ood["near"].path == str(tmp_path / "near.jsonl")
    assert loaded.rounds[0].stages[0].augment.masked_lm == str(tmp_path / "recipes" / "lm")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("rounds.²=1", "got '²' in rounds, expected a number below 2"),
        ("rounds.٣=1", "got '٣' in rounds"),
        ("rounds.-1=1", "got '-1' in rounds"),
        ("rounds." + "9" * 5000 + "=1", "in rounds, expected a number below 2"),
        (".".join("a" * 500) + "=1", "got a path of 500 keys"),
        ("seed=" + "9" * 5000, "a number of 5000 digits"),
        ("seed=!!python/object:os.x {}", "got the tag"),
        ("rounds.0.stages.0.learning_rate=.inf", "expected a finite number"),
        ("data.train.path=~nobody-of-that-name/x", "is not a valid path"),
        ("teacher.model=" + "/" + "y" * 3900, "is not a valid path: File name too long"),
        ("x" * 100_000 + "=1", "unknown key"),
        ("name=\udcff", "is not YAML"),
    ],
)
def test_a_wild_override_gets_a_short_sentence(recipe_file, override, expected):
    with pytest.raises(UserError) as caught:
        reading.load(recipe_file, [override])
    assert expected in str(caught.value)
    assert len(str(caught.value).encode()) < 4000


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 300, "a\0b", ".", "/dev/null/x", "~nobody/x.yaml"])
def test_a_name_that_is_no_file_gets_a_short_sentence(name, tmp_path):
    child = tmp_path / "child.yaml"
    child.write_text(f"extends: {json.dumps(name)}\n")
    for named in (name, str(child)):
        with pytest.raises(UserError) as caught:
            reading.load(named)
        assert len(str(caught.value).encode()) < 1000


def test_extends_names_the_file_that_says_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder").mkdir()
    for parent in ("pipe.yaml", "folder", "missing.yaml", "{a: 1}"):
        (tmp_path / "child.yaml").write_text(f"extends: {parent}\n")
        with pytest.raises(UserError, match=r"child\.yaml: extends: "):
            reading.load(str(tmp_path / "child.yaml"))


def test_recipes_that_extend_one_another_without_end_are_refused(tmp_path):
    for number in range(300):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")
    with pytest.raises(UserError, match="more than 20 recipes extend one another"):
        reading.load(str(tmp_path / "0.yaml"))


def test_links_in_a_circle_get_a_sentence(tmp_path):
    (tmp_path / "a.yaml").symlink_to(tmp_path / "b.yaml")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "a.yaml")
    with pytest.raises(UserError, match="expected a file"):
        reading.load(str(tmp_path / "a.yaml"))


def test_a_link_to_a_data_file_keeps_its_own_name(recipe_tree, tmp_path):
    """The hub's cache has its files as links to ones without a suffix."""
    blob = shutil.copy(recipe_tree["data"]["train"]["path"], tmp_path / "blob")
    (tmp_path / "rows.jsonl").symlink_to(blob)
    recipe_tree["data"]["train"]["path"] = "rows.jsonl"
    recipe = reading.load(write_recipe(recipe_tree, tmp_path))
    assert recipe.data.train.path == str(tmp_path / "rows.jsonl")


def test_very_many_problems_are_counted_not_listed(recipe_tree, tmp_path):
    recipe_tree |= {f"key{number}": "x" * 200 for number in range(500)}
    with pytest.raises(RecipeError) as caught:
        reading.load(write_recipe(recipe_tree, tmp_path))
    assert len(caught.value.problems) == 500
    assert len(str(caught.value).encode()) < 4000
    shown = str(caught.value).splitlines()
    assert shown[-1] == f"... and {500 - len(shown) + 1} more problems"


def test_a_number_that_is_not_finite_is_refused_however_it_comes(recipe_tree):
    recipe_tree["rounds"][0]["stages"][0]["learning_rate"] = float("inf")
    with pytest.raises(RecipeError, match=r"learning_rate: got inf, expected a finite number"):
        reading.validate(recipe_tree, "x")


def test_a_text_of_other_bytes_and_a_large_file_get_a_sentence(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9\n".encode("latin-1"))
    with pytest.raises(UserError, match="cannot be read as UTF-8 text"):
        reading.load(str(tmp_path / "latin.yaml"))
    (tmp_path / "large.yaml").write_bytes(("# " + "é" * 10 + "\n").encode() * 100_000)
    with pytest.raises(UserError, match=r"large\.yaml: too long for a recipe"):
        reading.load(str(tmp_path / "large.yaml"))
