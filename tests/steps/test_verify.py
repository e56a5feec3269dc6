from __future__ import annotations

import json

import numpy as np
import pytest

from edgedistill.errors import EdgedistillError
from edgedistill.steps.verify import fidelity
from edgedistill.tasks._former import Rows


def rows(values) -> Rows:
    values = np.array(values, dtype=np.float32)
    return Rows(values, np.arange(len(values) + 1))


def test_equal_files_agree_wholly():
    facts = fidelity(rows([[1, 2], [3, 0]]), rows([[1, 2], [3, 0]]))
    assert facts == {
        "agreement": 1.0,
        "max_abs_diff": 0.0,
        "mean_abs_diff": 0.0,
        "mean_kl": 0.0,
        "max_kl": 0.0,
    }


def test_each_figure_is_what_it_says():
    facts = fidelity(rows([[1.0, 2.0], [0.0, 4.0]]), rows([[1.0, 2.5], [3.0, 0.0]]))
    assert facts["agreement"] == 0.5
    assert facts["max_abs_diff"] == 4.0
    assert facts["mean_abs_diff"] == pytest.approx((0 + 0.5 + 3 + 4) / 4)
    p, q = np.exp([3.0, 0.0]) / np.exp([3.0, 0.0]).sum(), np.exp([0.0, 4.0]) / np.exp([0.0, 4.0]).sum()
    assert facts["max_kl"] == pytest.approx((p * np.log(p / q)).sum(), rel=1e-5)


def test_outputs_that_are_no_numbers_or_of_another_shape_are_refused():
    with pytest.raises(EdgedistillError, match="gives 1 logits that are not numbers"):
        fidelity(rows([[1.0, np.nan]]), rows([[1.0, 2.0]]))
    with pytest.raises(EdgedistillError, match=r"gives \(1, 2\) logits, its torch model \(1, 3\)"):
        fidelity(rows([[1, 2]]), rows([[1, 2, 3]]))


def test_flipped_items_are_listed_with_their_texts(finished_run):
    found = 0
    for row in finished_run.results.candidates:
        facts = json.loads((finished_run.artifact(f"verify-{row.id.replace('/', '-')}") / "fidelity.json").read_text())
        assert len(facts["flips"]) == round((1 - facts["agreement"]) * 36)
        assert len(finished_run.results.flips[row.id]) == len(facts["flips"])
        for flip in facts["flips"]:
            found += 1
            assert flip["model"] != flip["device"]
            assert flip["text"]
    assert found or all(row.agreement_with_student == 1 for row in finished_run.results.candidates)
