"""A third party's plug-in that cannot be used: one sentence for whoever asks for it, and no other command breaks."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import yaml
from helpers import plugged_in, write_recipe

from edgedistill.cli import doctor
from edgedistill.cli.app import app
from edgedistill.contracts import registry
from edgedistill.contracts.packages import Packages
from edgedistill.errors import RecipeError, UserError
from edgedistill.recipe import reading
from edgedistill.students.checkpoint import CheckpointSpec
from edgedistill.tasks._classification_judge import JUDGE

GOOD = """
from typing import Literal

from edgedistill.contracts.loss import Loss, LossSpec
from edgedistill.recipe.schema import Recipe


class GoodSpec(LossSpec):
    kind: Literal["good"]


def build(spec, student, teacher):
    raise NotImplementedError


LOSS = Loss(api=1, version=1, spec=GoodSpec, needs=frozenset({"logits"}), build=build)
"""
CHANGES = {
    "good": ("", ""),
    "renamed": ('"good"', '"other_name"'),
    "no_build": ("build=build", "build=None"),
    "nonsense": ('{"logits"}', '{"nonsense"}'),
    "no_form": ("build=build", "build=build, forms=frozenset({'sparse'})"),
    "no_layers": ('{"logits"}', '{"hidden"}'),
    "no_spec": ("spec=GoodSpec", "spec=Recipe"),
    "later": ("api=1", "api=2"),
    "silent": ("api=1, ", ""),
    "another_field": ("build=build", "build=build, colour='red'"),
    "no_loss": ("LOSS = Loss", "LOSS = dict"),
    "absent": ("LOSS = ", "FOUND = "),
    "fails": (GOOD, "import a_package_that_is_not_installed"),
    "leaves": (GOOD, "raise SystemExit(5)"),
    "kl": ('"good"', '"kl"'),
    "no_object": ("", ""),
}
REASONS = {
    "renamed": "its spec's 'kind' is other_name, expected Literal['renamed'], the entry point's name",
    "no_build": "its build is None, expected a function",
    "nonsense": "its needs are frozenset({'nonsense'}), expected a frozenset of labels, logits, hidden",
    "no_form": "its forms are frozenset({'sparse'}), expected a frozenset of dense, top-k, sampled, hidden",
    "no_layers": "it needs hidden states, expected a function 'layers' that returns which",
    "no_spec": "expected a subclass of edgedistill.contracts.loss.LossSpec",
    "later": "it was written for version 2 of the plug-in contracts, this edgedistill has version 1",
    "silent": "its import fails with TypeError: Loss.__init__() missing 1 required keyword-only argument: 'api'",
    "another_field": "its import fails with TypeError: Loss.__init__() got an unexpected keyword argument 'colour'",
    "no_loss": "expected a Loss (package.module:LOSS)",
    "absent": "its import fails with AttributeError: module 'third_party_absent' has no attribute 'LOSS'",
    "fails": "its import fails with ModuleNotFoundError: No module named 'a_package_that_is_not_installed'",
    "leaves": "its import fails with SystemExit: 5",
    "kl": "'kl' is built into edgedistill",
    "no_object": "it refers to the module 'third_party_no_object', expected a Loss (package.module:LOSS)",
}


@pytest.fixture
def losses(tmp_path, monkeypatch):
    """All of them installed, by the names of their files."""
    site = tmp_path / "site"
    site.mkdir()
    for name, (old, new) in CHANGES.items():
        (site / f"third_party_{name}.py").write_text(GOOD.replace(old, new) if old else GOOD)
    points = {name: f"third_party_{name}:LOSS" for name in CHANGES} | {"no_object": "third_party_no_object"}
    with plugged_in(site, {"edgedistill.losses": points}):
        yield


@pytest.mark.parametrize("name", sorted(REASONS))
def test_a_plugin_that_cannot_be_used_is_missing_with_its_reason(losses, name):
    assert REASONS[name] in registry.broken("losses")[name]
    assert "from toys 1" in registry.broken("losses")[name]
    if name != "kl":
        assert name not in registry.names("losses")
        with pytest.raises(UserError, match="cannot be used"):
            registry.loss(name)


def test_edgedistills_own_stays_when_a_plugin_takes_its_name(losses):
    assert registry.loss("kl").spec.__module__ == "edgedistill.losses.kl"


def test_a_plugin_may_import_the_recipe(losses, recipe_tree, tmp_path):
    """Its spec is part of the recipe's union, which is built when a recipe is read."""
    recipe_tree["rounds"][1]["stages"][0]["losses"] = [{"kind": "good", "weight": 0.5}]
    code = "import sys, third_party_good; from edgedistill.recipe import reading\n"
    code += "print(reading.load(sys.argv[1]).rounds[1])"
    command = [sys.executable, "-c", code, write_recipe(recipe_tree, tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "GoodSpec(kind='good', weight=0.5)" in done.stdout, done.stderr


def test_a_recipe_that_names_a_broken_plugin_is_told_why(losses, recipe_tree):
    recipe_tree["rounds"][1]["stages"][0]["losses"] = [{"kind": "fails"}]
    with pytest.raises(RecipeError, match=r"losses.0.kind: got 'fails', expected one of .*No module named") as raised:
        reading.validate(recipe_tree, "recipe")
    assert len(raised.value.problems) == 1


def test_no_other_command_breaks(losses, recipe_tree, tmp_path):
    assert yaml.safe_load(reading.dump(reading.load("quickstart")))["name"] == "quickstart"
    for arguments in (["show", "quickstart"], ["plan", write_recipe(recipe_tree, tmp_path), "--out", str(tmp_path)]):
        app(arguments, standalone_mode=False)
    told: dict[str, Any] = doctor.diagnose()
    assert {REASONS["fails"] in reason for reason in told["broken_plugins"]} == {True, False}


@pytest.mark.parametrize("group", ["tasks", "losses", "students", "quantizers", "runtimes", "exporters"])
def test_every_plugin_that_comes_along_keeps_its_contract(group):
    for name in registry.names(group):
        assert registry.fault_in(group, name, pkgutil.resolve_name(registry.reference(group, name))) is None
    assert registry.broken(group) == {}


NUMPY = Packages(imports=("numpy",))


KNOWN = {
    "runtimes": "onnxruntime", "exporters": "onnx", "students": "keep_layers", "tasks": "text-classification"
}  # fmt: skip


@pytest.mark.parametrize(
    ("group", "found", "fault"),
    [
        ("runtimes", {"targets": "onnx"}, "its targets are 'onnx', expected a tuple of names"),
        ("runtimes", {"suffixes": ()}, "its suffixes are (), expected a tuple of names"),
        ("runtimes", {"packages": "numpy"}, "its packages are 'numpy', expected Packages"),
        ("runtimes", {"version": "1"}, "its version is '1', expected a function"),
        (
            "runtimes",
            {"client_tasks": ("a",)},
            "its client_tasks are ('a',), expected some if and only if it has client_facts",
        ),
        ("exporters", {"precisions": {}}, "its precisions are {}, expected at least one Precision by name"),
        ("exporters", {"packages": None}, "its packages are None, expected Packages"),
        ("students", {"spec": CheckpointSpec, "make_tokenizer": print}, "expected a field of its spec marked"),
        ("students", {"layers": 3}, "its layers is 3, expected a function"),
        ("tasks", {"judge": JUDGE}, "expected a function"),
        ("students", {"spec": Packages}, "expected a subclass of edgedistill.contracts.student.StudentSpec"),
    ],
)
def test_nonsense_is_named(group, found, fault):
    known = {"runtimes": "onnxruntime", "exporters": "onnx", "students": "keep_layers", "tasks": "text-classification"}[
        group
    ]
    own = pkgutil.resolve_name(registry.reference(group, known))
    assert fault in registry.fault_in(group, known, replace(own, **found))


def test_a_runtime_is_checked_where_pydantic_is_missing():
    """As in a measuring process: what checks a plug-in imports numpy only."""
    code = (
        "import sys; sys.modules['pydantic'] = None; sys.modules['torch'] = None\n"
        "from edgedistill.contracts import registry\n"
        "print(registry.fault_in('runtimes', 'onnxruntime', registry.runtime('onnxruntime')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "None\n"


def test_what_comes_by_entry_point_is_found_by_its_reference(losses):
    assert registry.reference("losses", "good") == "third_party_good:LOSS"
    assert registry.reference("losses", "kl") == "edgedistill.losses.kl:LOSS"
    assert registry.loss("good") is pkgutil.resolve_name("third_party_good:LOSS")


def test_a_task_with_samples_has_what_continues_texts():
    task = registry.task("text-generation")
    lacking = replace(task, data=replace(task.data, prompt=None), model=replace(task.model, decoder=None))
    assert lacking.fault(task.name) == "it has samples, expected 'prompt' and 'decoder' as well"
    assert task.fault(task.name) is None
