"""A third party's plug-in that cannot be used: one sentence for whoever asks for it, and no other command breaks."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest
import yaml
from helpers import plugged_in, write_recipe

from edgedistill import diagnosis, loading, plugins
from edgedistill.cli import app
from edgedistill.errors import RecipeError, UserError
from edgedistill.plugin_contracts import fault_in

GOOD = """
from typing import Literal
from pydantic import Field
from edgedistill.recipe import Recipe, SCHEMA
from edgedistill.spec import Spec

VERSION = 1
NEEDS = frozenset({needs})

class GoodSpec(Spec):
    kind: Literal["{kind}"]
    weight: float = Field(1.0, gt=0)

SPEC = GoodSpec

def build(spec, student=None, teacher=None):
    raise NotImplementedError
"""
SOURCES = {
    "good": GOOD.replace("{needs}", '{"logits"}').replace("{kind}", "good"),
    "renamed": GOOD.replace("{needs}", '{"logits"}').replace("{kind}", "other_name"),
    "no_build": GOOD.replace("{needs}", '{"logits"}').replace("{kind}", "no_build").replace("def build", "def make"),
    "nonsense": GOOD.replace("{needs}", '{"nonsense"}').replace("{kind}", "nonsense"),
    "fails": "import a_package_that_is_not_installed",
    "leaves": "raise SystemExit(5)",
    "kl": GOOD.replace("{needs}", '{"logits"}').replace("{kind}", "kl"),
}
REASONS = {
    "renamed": "its SPEC's 'kind' is other_name, expected Literal['renamed'] as the entry point's name",
    "no_build": "it lacks build",
    "nonsense": "its NEEDS is frozenset({'nonsense'}), expected a set of labels, logits, hidden",
    "fails": "its import fails with ModuleNotFoundError: No module named 'a_package_that_is_not_installed'",
    "leaves": "its import fails with SystemExit: 5",
    "kl": "edgedistill has 'kl' itself",
}


@pytest.fixture
def losses(tmp_path, monkeypatch):
    """All of them installed, by the names of their files."""
    loading.load("quickstart")  # this process has its unions before, and keeps them for the tests after this one
    site = tmp_path / "site"
    site.mkdir()
    for name, source in SOURCES.items():
        (site / f"third_party_{name}.py").write_text(source)
    with plugged_in(site, {"edgedistill.losses": {name: f"third_party_{name}" for name in SOURCES}}):
        yield


@pytest.mark.parametrize("name", sorted(REASONS))
def test_a_plugin_that_cannot_be_used_is_missing_with_its_reason(losses, name):
    assert REASONS[name] in plugins.broken("losses")[name]
    assert "from toys 1" in plugins.broken("losses")[name]
    if name != "kl":
        assert name not in plugins.names("losses")
        with pytest.raises(UserError, match="cannot be used"):
            plugins.find("losses", name)


def test_edgedistills_own_stays_when_a_plugin_takes_its_name(losses):
    assert plugins.find("losses", "kl").__name__ == "edgedistill.losses.kl"


def test_a_plugin_may_import_the_recipe(losses, recipe_tree, tmp_path):
    """Its spec is part of the recipe's union, which is built when a recipe is read."""
    recipe_tree["rounds"][1]["stages"][0]["losses"] = [{"kind": "good", "weight": 0.5}]
    code = "import sys, third_party_good; from edgedistill import loading; print(loading.load(sys.argv[1]).rounds[1])"
    command = [sys.executable, "-c", code, write_recipe(recipe_tree, tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "GoodSpec(kind='good', weight=0.5)" in done.stdout, done.stderr


def test_a_recipe_that_names_a_broken_plugin_is_told_why(losses, recipe_tree):
    recipe_tree["rounds"][1]["stages"][0]["losses"] = [{"kind": "fails"}]
    with pytest.raises(RecipeError, match=r"losses.0.kind: got 'fails', expected one of .*No module named") as raised:
        loading.validate(recipe_tree, "recipe")
    assert len(raised.value.problems) == 1


def test_no_other_command_breaks(losses, recipe_tree, tmp_path):
    assert yaml.safe_load(loading.dump(loading.load("quickstart")))["name"] == "quickstart"
    for arguments in (["show", "quickstart"], ["plan", write_recipe(recipe_tree, tmp_path), "--out", str(tmp_path)]):
        app(arguments, standalone_mode=False)
    assert {REASONS["fails"] in reason for reason in diagnosis.diagnose()["broken_plugins"]} == {True, False}


@pytest.mark.parametrize("group", ["tasks", "losses", "students", "quantizers", "runtimes", "exporters"])
def test_every_plugin_that_comes_along_keeps_its_contract(group):
    for name in plugins.names(group):
        assert fault_in(group, name, plugins.find(group, name)) is None
    assert plugins.broken(group) == {}


def test_what_should_be_a_function_must_be_callable():
    module = ModuleType("third_party")
    for name in ("TARGETS", "SUFFIXES", "PACKAGES", "open", "version"):
        setattr(module, name, ())
    assert fault_in("runtimes", "x", module) == "open, version cannot be called"


def test_a_runtime_is_checked_where_pydantic_is_missing():
    """As in a measuring process: what checks a plug-in imports numpy only."""
    spec = importlib.util.find_spec("edgedistill.plugin_contracts")
    code = (
        "import sys; sys.modules['pydantic'] = None; sys.modules['torch'] = None\n"
        "from edgedistill import plugins\n"
        "from edgedistill.plugin_contracts import fault_in\n"
        "print(fault_in('runtimes', 'onnxruntime', plugins.find('runtimes', 'onnxruntime')))"
    )
    assert spec is not None
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "None\n"
