from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgedistill import statistics
from edgedistill.statistics import auroc, auroc_interval, calibration_error
from edgedistill.tasks.text_classification import METRICS

ACCURACY, F1 = METRICS["accuracy"], METRICS["f1_macro"]


def test_the_interval_of_an_accuracy_is_wilsons():
    references = np.zeros(100, dtype=int)
    decisions = np.array([0] * 90 + [1] * 10)
    interval = statistics.metric_interval(ACCURACY, decisions, references)
    # Wilson 1927 by hand: (p + z²/2n ± z sqrt(pq/n + z²/4n²)) / (1 + z²/n) with p = .9, n = 100, z = 1.96
    assert interval.low == pytest.approx(0.8256, abs=1e-4)
    assert interval.high == pytest.approx(0.9448, abs=1e-4)


def test_a_perfect_score_keeps_its_doubt():
    zeros = np.zeros(50, dtype=int)
    interval = statistics.metric_interval(ACCURACY, zeros, zeros)
    assert interval.high == 1.0
    assert 0.9 < interval.low < 0.95


def test_a_metric_that_is_no_mean_is_bootstrapped():
    generator = np.random.default_rng(0)
    references = generator.integers(0, 3, 300)
    decisions = np.where(generator.random(300) < 0.8, references, (references + 1) % 3)
    interval = statistics.metric_interval(F1, decisions, references)
    assert interval.low < F1.score(decisions, references) < interval.high
    assert interval.high - interval.low < 0.15


def test_mcnemar_is_exact():
    references = np.zeros(20, dtype=int)
    a, b = references.copy(), references.copy()
    b[:8] = 1  # 8 items only a has right, 1 only b
    a[19] = 1
    paired = statistics.compare(ACCURACY, a, b, references)
    assert paired.difference == pytest.approx(7 / 20)
    assert paired.p == pytest.approx(2 * (1 + 9) / 2**9)
    assert paired.interval.low > 0


def test_equal_models_do_not_differ():
    same = np.arange(10)
    paired = statistics.compare(ACCURACY, same, same, same)
    assert (paired.difference, paired.p, paired.interval.low, paired.interval.high) == (0, 1, 0, 0)


def test_f1_pairs_by_bootstrap():
    generator = np.random.default_rng(1)
    references = generator.integers(0, 3, 400)
    better = np.where(generator.random(400) < 0.9, references, (references + 1) % 3)
    worse = np.where(generator.random(400) < 0.6, references, (references + 1) % 3)
    paired = statistics.compare(F1, better, worse, references)
    assert paired.interval.low > 0.1
    assert paired.p < 0.01


@pytest.mark.parametrize(("percentile", "runs"), [(90, 29), (95, 59), (99, 299)])
def test_a_percentile_needs_its_runs(percentile, runs):
    assert statistics.runs_for(percentile) == runs
    assert statistics.percentile(np.arange(runs - 1), percentile) is None
    assert statistics.percentile_interval(np.arange(runs - 1), percentile) is None
    assert statistics.percentile(np.arange(runs), percentile) is not None


def test_the_interval_of_a_percentile_covers_it_as_often_as_it_says():
    generator = np.random.default_rng(0)
    truth = np.log(20)  # p95 of an exponential
    hits = 0
    for _ in range(300):
        interval = statistics.percentile_interval(generator.exponential(size=200), 95)
        hits += interval.low <= truth <= interval.high
    assert 0.91 <= hits / 300 <= 1.0


LOGITS = arrays(np.float64, (3, 4), elements=st.floats(-30, 30))


@given(LOGITS, LOGITS)
@settings(max_examples=50)
def test_kl_is_zero_at_equality_and_never_negative(p, q):
    assert (statistics.kl_divergence(p, q) >= 0).all()
    np.testing.assert_allclose(statistics.kl_divergence(p, p), 0, atol=1e-12)
    np.testing.assert_allclose(statistics.kl_divergence(p, p + 5), 0, atol=1e-9)


def test_calibration_is_the_gap_between_confidence_and_accuracy():
    sure = np.log(np.array([[0.9, 0.1]] * 10))
    right = np.array([0] * 9 + [1])
    assert calibration_error(sure, right) == pytest.approx(0, abs=1e-9)
    assert calibration_error(sure, np.zeros(10, dtype=int)) == pytest.approx(0.1)
    assert calibration_error(sure, np.ones(10, dtype=int)) == pytest.approx(0.9)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_auroc_is_the_share_of_pairs_in_order(inside, outside):
    pairs = [(a > b) + (a == b) / 2 for a in inside for b in outside]
    assert auroc(np.array(inside, float), np.array(outside, float)) == pytest.approx(np.mean(pairs))


def test_the_interval_of_an_auroc_holds_it_and_narrows_with_more_items():
    generator = np.random.default_rng(0)
    widths = []
    for count in (50, 500):
        inside, outside = generator.normal(1, 1, count), generator.normal(0, 1, count)
        found = auroc_interval(inside, outside)
        assert found.low < auroc(inside, outside) < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 2
    ties = auroc_interval(np.zeros(30), np.zeros(30))
    assert (ties.low, ties.high) == (0.5, 0.5)
