from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
from bundling.version_1 import rewrite
from helpers import assert_close

import edgedistill
from edgedistill import MeasureOptions
from edgedistill.bundling.layout import open_bundle, write_hashes
from edgedistill.errors import UserError


@pytest.fixture
def former(bundle):
    return rewrite(bundle)


def test_a_bundle_of_version_1_is_what_it_is_now(bundle, tmp_path):
    now = open_bundle(shutil.copytree(bundle, tmp_path / "now"))
    before = open_bundle(rewrite(bundle))
    assert before.facts.components["model"].opened == now.facts.components["model"].opened
    assert before.facts.model == now.facts.model
    measured: list[dict[str, Any]] = [dict(version.facts.measured) for version in (before, now)]
    for split in ("test", "validation"):
        lifted, own = (
            next(figure for figure in measurement["figures"] if figure["split"] == split) for measurement in measured
        )
        for name in ("metric", "direction", "value"):
            assert lifted[name] == own[name]
    assert measured[0]["drop"]["value"] == measured[1]["drop"]["value"]
    assert before.golden.texts == now.golden.texts
    for number in range(len(now.golden.items)):
        given, expected = (version.golden.items.inputs([number]) for version in (before, now))
        for name, array in expected.items():
            np.testing.assert_array_equal(given[name], array)
    padded = [version.golden.items.batch([0, 5], 32)["input_ids"] for version in (before, now)]
    np.testing.assert_array_equal(padded[0], padded[1])
    assert_close(before.golden.answers.values["logits"], now.golden.answers.values["logits"], rtol=1e-5)


def test_it_is_still_measured(former):
    found = edgedistill.measure(former, options=MeasureOptions(min_seconds=0.1))
    assert found.golden.passed
    assert (found.golden.items, found.golden.tokens) == (32, "same")
    assert found.latency_ms.runs >= 299


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("bundle.json", {"lengths": [8]}, "lengths is \\[8\\], expected those of opened, \\[\\]"),
        ("bundle.json", {"pad_token": -1}, "pad_token is -1, expected a whole number"),
        ("bundle.json", {"opened": [[None, "../x"]]}, "files names '../x', expected a path inside"),
        ("bundle.json", {"inputs": [{"name": "input_ids", "type": "int8", "shape": []}]}, "type is 'int8', expected"),
        ("golden.json", {"items": []}, "its items have different inputs"),
        ("golden.json", {"tolerance": 1e9}, "tolerance is 1e\\+09, expected"),
        ("golden.json", {"schema": "edgedistill/golden/2"}, "expected 'edgedistill/golden/1'"),
        ("golden.json", {"more": 1}, "has 'more', which this version"),
    ],
)
def test_what_is_wrong_with_it_is_said(former, change, name, values, expected):
    with pytest.raises(UserError, match=expected):
        open_bundle(change(name, **values))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("input_ids", [-1, 2], "input_ids is .*, expected whole numbers from 0"),
        ("input_ids", [1], "the length of its inputs is"),
        ("rows", [[1.0]], "rows is .*, expected rows of 3 numbers"),
        ("rows", [], "rows is \\[\\], expected at least one row"),
        ("labels", ["nothing"], "answers is"),
        ("surprise", [1], "its items have different|the length of its inputs"),
    ],
)
def test_what_is_wrong_with_an_item_is_said(former, key, value, expected):
    golden = json.loads((former / "golden.json").read_text())
    golden["items"][3][key] = value
    (former / "golden.json").write_text(json.dumps(golden))
    write_hashes(former)
    with pytest.raises(UserError, match=expected):
        open_bundle(former)
