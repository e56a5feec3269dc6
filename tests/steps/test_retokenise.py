"""A student with its own tokenizer keeps the tokens of everything it is trained on."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import record_of, write_recipe

from edgedistill.data.prepared import PreparedData
from edgedistill.engine.local import execute
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.store.progress import Progress
from edgedistill.store.records.data import TokenisedData


@pytest.mark.parametrize("unlabelled", [True, False])
def test_tokens_of_unlabelled_texts_are_kept(recipe_tree, finished_run, tmp_path, unlabelled):
    prepared: PreparedData = finished_run.data("unlabeled")
    train, other = (set(np.unique(prepared.items(split).token_ids).tolist()) for split in ("train", "unlabeled"))
    assert other - train, "the unlabelled texts have words of their own"
    recipe_tree["rounds"] = recipe_tree["rounds"][:1]
    recipe_tree["rounds"][0]["student"] = {"init": "trim_vocabulary", "coverage": 1.0}
    recipe_tree["rounds"][0]["stages"] = [{"name": "one", "losses": [{"kind": "hard_label"}]}]
    if not unlabelled:
        del recipe_tree["data"]["unlabeled"]
    recipe = reading.load(write_recipe(recipe_tree, tmp_path))
    plan = make_plan(recipe, fingerprints.look_up(recipe))
    done = execute(plan.until("data-r1"), tmp_path / "run", Progress())
    kept = set(record_of(TokenisedData, done["data-r1"].folder).kept_tokens or ())
    assert train <= kept
    assert (other <= kept) is unlabelled
