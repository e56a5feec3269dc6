"""What `bench.language_rounds` counts as the cost of a round."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import stand_in, tiny_recipe

from bench.language_rounds import _recorded
from edgedistill.contracts.distribution import Form
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading


@pytest.mark.parametrize("form", ["dense", "top-k", "sampled"])
def test_a_recording_counts_in_whatever_form(form: Form, data_folder: Path, tmp_path: Path) -> None:
    """Under the names that the plan gives its steps."""
    tree = tiny_recipe(data_folder) | {"signals": {"form": form, "k": 2}}
    first, _ = tree["rounds"]
    first["stages"][0]["losses"] = [{"kind": "kl"}]
    tree["rounds"] = [first]
    recipe = reading.validate(tree, "test")
    steps = [step.name for step in make_plan(recipe, fingerprints.look_up(recipe)).steps]
    events = [{"event": "finished", "step": name, "seconds": 10.0 ** ("-teacher-train" in name)} for name in steps]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.jsonl").write_text("\n".join(json.dumps(event) for event in events))
    assert _recorded(stand_in(out=tmp_path), "run", "teacher") == 10.0
