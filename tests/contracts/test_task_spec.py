from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from helpers import plugged_in

from edgedistill.contracts import registry
from edgedistill.errors import RecipeError, UserError
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading, text

OPTIONS = """
from dataclasses import replace
from typing import Literal

from edgedistill.contracts.task_spec import TaskSpec
from edgedistill.tasks import text_classification


class Threshold(TaskSpec):
    type: Literal["threshold"]
    threshold: float = 0.5
    scopes: tuple[str, ...] = ()


TASK = replace(text_classification.TASK, name="threshold", spec=Threshold)
"""


def problems(tree) -> list[str]:
    with pytest.raises(RecipeError) as raised:
        reading.validate(tree, "recipe")
    return raised.value.problems


def test_one_metric_is_the_short_form_of_a_list_of_one(recipe_tree):
    short = reading.validate(recipe_tree, "recipe")
    recipe_tree["task"] = {"type": "text-classification", "metrics": ["accuracy"]}
    assert reading.validate(recipe_tree, "recipe") == short
    assert short.task.metrics == ("accuracy",)


def test_a_list_of_one_metric_is_written_as_it_is_read(recipe_tree):
    recipe_tree["task"] = {"type": "text-classification", "metrics": ["f1_macro"]}
    recipe = reading.validate(recipe_tree, "recipe")
    assert (recipe.task.metric, recipe.task.metrics) == ("f1_macro", ("f1_macro",))
    dumped: Any = text.parse(reading.dump(recipe), "dumped")
    assert reading.validate(dumped, "recipe") == recipe


def test_of_several_metrics_the_first_is_the_primary_one(recipe_tree):
    recipe_tree["task"] = {"type": "text-classification", "metrics": ["f1_macro", "accuracy"]}
    recipe = reading.validate(recipe_tree, "recipe")
    assert (recipe.task.metric, recipe.task.metrics) == ("f1_macro", ("f1_macro", "accuracy"))
    assert recipe.task.by_primary.metrics == ("f1_macro",)
    dumped: Any = text.parse(reading.dump(recipe), "dumped")
    assert dumped["task"] == {"type": "text-classification", "metrics": ["f1_macro", "accuracy"]}
    assert reading.validate(dumped, "recipe") == recipe


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ({"metric": "acc"}, "task.metric: got 'acc', expected one of accuracy, f1_macro"),
        ({"metrics": ["accuracy", "f1"]}, "task.metrics.1: got 'f1', expected one of accuracy, f1_macro"),
        ({}, "task: expected 'metric: NAME', or 'metrics: [NAME, ...]' with the primary one first"),
        ({"metric": 5}, "task.metric: got 5, expected string"),
        ({"metric": "accuracy", "metrics": ["f1_macro"]}, "task: expected 'metric' to be the first of 'metrics'"),
        ({"metrics": ["accuracy", "accuracy"]}, "task: expected distinct 'metrics', got accuracy, accuracy"),
        ({"metric": "accuracy", "option": 1}, "task.option: unknown key"),
        ({"metric": "accuracy", "type": "text-clasification"}, "did you mean 'text-classification'?"),
    ],
)
def test_what_is_wrong_is_named(recipe_tree, task, sentence):
    recipe_tree["task"] = {"type": "text-classification", **task}
    found = problems(recipe_tree)
    assert len(found) == 1
    assert sentence in found[0]


def test_a_task_brings_its_own_options(recipe_tree, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "threshold_task.py").write_text(OPTIONS)
    recipe_tree["task"] = {"type": "threshold", "metric": "accuracy", "threshold": 0.7, "scopes": ["a"]}
    with plugged_in(tmp_path / "site", {"edgedistill.tasks": {"threshold": "threshold_task:TASK"}}):
        assert reading.validate(recipe_tree, "recipe").task.options["threshold"] == 0.7
        recipe_tree["task"] |= {"threshold": "high"}
        assert "task.threshold: got 'high', expected number" in problems(recipe_tree)[0]
    recipe_tree["task"] |= {"threshold": 0.7}
    assert "task.type: got 'threshold', expected one of" in problems(recipe_tree)[0]


def test_an_option_is_in_the_keys_of_what_encodes_or_judges_and_a_metric_in_those_of_what_judges(recipe_tree, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "threshold_task.py").write_text(OPTIONS)

    def changed(**task) -> set[str]:
        plain = {"type": "threshold", "metric": "accuracy"}
        recipes = [reading.validate({**recipe_tree, "task": plain | change}, "recipe") for change in ({}, task)]
        before, after = (make_plan(recipe, fingerprints.look_up(recipe)).steps for recipe in recipes)
        return {new.name for old, new in zip(before, after, strict=True) if old.key != new.key}

    with plugged_in(tmp_path / "site", {"edgedistill.tasks": {"threshold": "threshold_task:TASK"}}):
        assert {"data", "data-validation", "data-test", "teacher", "r1", "choose", "bundle"} <= changed(threshold=0.7)
        judged = changed(metric="f1_macro")
        assert {"teacher", "choose", "bundle"} <= judged
        assert not {name for name in judged if name.startswith("data")}


@pytest.mark.parametrize("options", [{"treshold": 0.7}, {"threshold": "high"}])  # codespell:ignore
def test_options_that_a_bundle_or_results_tell_of_are_checked(tmp_path, options):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "threshold_task.py").write_text(OPTIONS)
    with plugged_in(tmp_path / "site", {"edgedistill.tasks": {"threshold": "threshold_task:TASK"}}):
        told = {"threshold": 0.7, "scopes": ["a"]}
        spec = registry.task_as("threshold", "accuracy", told)
        assert (dict(spec)["threshold"], dict(spec)["scopes"], spec.options) == (0.7, ("a",), told)
        with pytest.raises(UserError, match=f"task 'threshold': options: {next(iter(options))}: "):
            registry.task_as("threshold", "accuracy", options)


def test_the_recipes_schema_has_every_plugin():
    """What an editor completes."""
    from edgedistill.recipe.schema import Recipe

    text = json.dumps(Recipe.model_json_schema())
    assert all(f'"{name}"' in text for name in ("keep_layers", "hidden_mse", "image-classification"))


def test_importing_the_recipe_imports_no_plugin():
    code = (
        "import sys, edgedistill.recipe.schema\n"
        "groups = [f'edgedistill.{each}.' for each in ('losses', 'students', 'tasks', 'quantizers', 'runtimes')]\n"
        "print([name for name in sys.modules if name.startswith(tuple(groups))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
