"""The stop rule on answers made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation.test_statistics import ACCURACY, right
from helpers import unused

from edgedistill.contracts.metric import Metric
from edgedistill.evaluation.stop import FileFigures, judge
from edgedistill.recipe.deployment_spec import Limits
from edgedistill.recipe.schema import StopSpec

FILES = [FileFigures("r1/fp32", 0.01, 40.0, 41.0), FileFigures("r1/int8", 0.03, 10.0, 11.0)]


def answers(wrong: int) -> np.ndarray:
    return right([0] * wrong + [1] * (1000 - wrong))


def judged(wrong: int, limits: Limits | None = None, **rule: object):
    spec = StopSpec.model_validate({"when": {"drop": 0.03}, **rule})
    return judge("r1", ACCURACY, answers(20), answers(wrong), FILES, spec, limits or Limits())


def test_a_small_drop_goes_on_and_says_that_it_is_not_real():
    found = judged(23)
    assert not found.stop
    assert not found.real
    assert "not significant, not significantly more than 0.03" in found.reason


def test_a_real_drop_within_what_is_allowed_goes_on():
    found = judged(40)
    assert not found.stop
    assert found.real
    assert found.drop == pytest.approx(0.02)


@pytest.mark.parametrize("test", ["paired_bootstrap", "mcnemar"])
def test_a_drop_shown_to_be_too_large_stops_with_the_reason(test):
    found = judged(90, test=test)
    assert found.stop
    assert "significantly more than 0.03 at alpha 0.05" in found.reason


def test_the_tests_differ_where_the_drop_is_real_but_not_shown_to_exceed_the_limit():
    assert not judged(53, test="paired_bootstrap").stop
    assert judged(53, test="mcnemar").stop


def test_alpha_decides_how_sure_it_must_be():
    assert not judged(60, alpha=0.01).stop
    assert judged(60, alpha=0.3).stop


def test_limits_met_stops_only_when_asked_for_and_counts_drop_and_size():
    limits = Limits(drop=0.02, file_mb=50)
    assert judged(23, limits).within_limits == ("r1/fp32",)
    assert judged(23, Limits(drop=0.02, shipped_mb=41)).within_limits == ("r1/fp32",)
    assert judged(23, Limits(drop=0.02, shipped_mb=40)).within_limits == ()
    assert not judged(23, limits).stop
    assert judged(23, limits, when={"limits_met": True}).stop
    assert not judged(23, Limits(drop=0.02, file_mb=20), when={"limits_met": True}).stop


def test_a_rule_without_a_condition_is_refused():
    with pytest.raises(ValueError, match="expected 'drop' or 'limits_met: true'"):
        StopSpec.model_validate({"when": {}})


def test_the_older_name_of_the_drop_is_read_but_not_beside_the_newer_one():
    assert StopSpec.model_validate({"when": {"accuracy_drop": 0.1}}).when.drop == 0.1
    assert Limits.model_validate({"accuracy_drop": 0.1}) == Limits(drop=0.1)
    with pytest.raises(ValueError, match="got both 'drop' and 'accuracy_drop'"):
        Limits.model_validate({"accuracy_drop": 0.1, "drop": 0.1})


def test_of_a_metric_that_is_lower_is_better_a_rise_is_what_stops():
    def mean(rows):
        return float(rows[:, 0].mean())

    loss = Metric("loss", "lower", unused, mean, additive=False)
    low, high = (np.random.default_rng(0).normal(level, 0.1, (200, 1)) for level in (1.0, 1.2))
    rule = StopSpec.model_validate({"when": {"drop": 0.1}})
    worse = judge("r1", loss, low, high, [], rule, Limits())
    assert worse.stop
    assert worse.real
    assert worse.drop == pytest.approx(0.2, abs=0.02)
    assert worse.reason.startswith("r1's loss rise on validation is 0.")
    better = judge("r1", loss, high, low, [], rule, Limits())
    assert not better.stop
    assert not better.real
    assert better.drop == pytest.approx(-worse.drop)
