"""A step is planned again when the code of its plug-ins, the version of its tools, or its machine is another one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers import raise_version

from edgedistill.data import views
from edgedistill.isolation import environments
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.recipe.schema import Compute
from edgedistill.steps.kinds import evaluate


@pytest.fixture
def recipe(recipe_tree):
    recipe_tree["rounds"][1]["stages"][0]["augment"] = {"delete": 0.1}
    return reading.validate(recipe_tree, "recipe")


def keys(recipe, known=None) -> dict[str, str]:
    return {step.name: step.key for step in make_plan(recipe, known or fingerprints.look_up(recipe)).steps}


def replanned(recipe, before, known=None) -> set[str]:
    """Steps with another key; the trials before any training, which nothing reads, are a test of their own."""
    found = {name for name, key in keys(recipe, known).items() if before[name] != key}
    return {name for name in found if not name.startswith("probe-")}


def downstream(recipe, *names: str) -> set[str]:
    """These steps and all that read them, whether directly or not, but for the trials before any training."""
    reached = set(names)
    for step in make_plan(recipe, fingerprints.look_up(recipe)).steps:
        if reached & step.sources:
            reached.add(step.name)
    return {name for name in reached if not name.startswith("probe-")}


@pytest.mark.parametrize(
    ("group", "name", "first"),
    [
        ("losses", "hidden_mse", {"r1"}),
        ("losses", "kl", {"r1", "r2"}),
        ("losses", "hard_label", {"r1", "r1-control", "r2-control"}),
        ("students", "keep_layers", {"r1", "r1-control"}),
        ("students", "narrow", {"r2", "r2-control"}),
        ("tasks", "text-classification", {"data", "teacher"}),
    ],
)
def test_the_version_of_a_plugin(recipe, monkeypatch, group, name, first):
    before = keys(recipe)
    raise_version(monkeypatch, group, name)
    assert replanned(recipe, before) == downstream(recipe, *first) | ({"report"} if group != "tasks" else set())


def test_the_version_of_a_quantizer_that_a_stage_trains_for(recipe_tree, monkeypatch):
    recipe_tree["rounds"][1]["stages"][0]["quantize"] = "int4"
    recipe = reading.validate(recipe_tree, "recipe")
    before = keys(recipe)
    raise_version(monkeypatch, "quantizers", "int4")
    assert replanned(recipe, before) == downstream(recipe, "r2", "r2-control")


def test_the_version_of_the_augmentation(recipe, monkeypatch):
    before = keys(recipe)
    monkeypatch.setattr(views, "VERSION", 2)
    changed = replanned(recipe, before)
    assert {name for name in changed if name.startswith(("views", "r2"))} >= {"r2", "r2-control"}
    assert not {"r1", "teacher", "data"} & changed


def test_the_version_of_a_runtime_is_in_what_it_verifies_and_measures(recipe):
    known = fingerprints.look_up(recipe)
    assert known.runtimes["onnxruntime"]["onnxruntime"]
    newer = replace(known, runtimes={"onnxruntime": {"onnxruntime": "99.0"}})
    verified = [name for name in keys(recipe) if name.startswith("verify-")]
    assert len(verified) == 4
    assert replanned(recipe, keys(recipe, known), newer) == downstream(recipe, "measure", *verified)


def test_the_machine_is_in_what_it_measures_and_in_nothing_before(recipe):
    known = fingerprints.look_up(recipe)
    elsewhere = replace(known, host={**known.host, "cpu": "another"})
    assert replanned(recipe, keys(recipe, known), elsewhere) == downstream(recipe, "measure")


def test_the_versions_of_a_runtime_in_an_environment_of_its_own_are_that_environments(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEDISTILL_HOME", str(tmp_path))
    monkeypatch.setattr(environments, "missing_here", lambda packages: list(packages.imports))
    assert environments.runtime_versions("openvino") == {}
    site = environments.folder("openvino") / "lib" / "python3.11" / "site-packages"
    (site / "openvino-7.1.dist-info").mkdir(parents=True)
    (site / "openvino-7.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: openvino\nVersion: 7.1\n")
    assert environments.runtime_versions("openvino") == {"openvino": "7.1"}


def test_a_model_is_evaluated_where_the_recipe_computes(recipe):
    elsewhere = recipe.model_copy(update={"compute": Compute(device="mps")})
    for own, device in ((recipe, "cpu"), (elsewhere, "mps")):
        settings = [step.settings for step in make_plan(own, fingerprints.look_up(own)).steps]
        asked = [own for own in settings if isinstance(own, evaluate.Settings)]
        assert asked
        assert {own.compute.device for own in asked} == {device}
