from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers import unused
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgedistill.contracts.metric import Metric
from edgedistill.errors import EdgedistillError
from edgedistill.evaluation import statistics
from edgedistill.evaluation.statistics import auroc, auroc_interval


def share(rows):
    return float(rows[:, 0].sum() / rows[:, 1].sum())


def f1(rows):
    hits, shown = np.split(rows.sum(axis=0), 2)
    return float(np.mean(2 * hits[shown > 0] / shown[shown > 0]))


def spearman(rows):
    """No sum of rows tells it."""
    ranks = np.argsort(np.argsort(rows, axis=0, kind="stable"), axis=0).astype(float)
    spread = ranks - ranks.mean(axis=0)
    return float((spread[:, 0] * spread[:, 1]).sum() / np.sqrt((spread**2).sum(axis=0).prod()))


ACCURACY = Metric("accuracy", "higher", unused, share, shares=True)
F1 = Metric("f1_macro", "higher", unused, f1)
SPEARMAN = Metric("spearman", "higher", unused, spearman, additive=False)


def right(*hits):
    """One decision per example."""
    shares = np.array(hits, dtype=np.float64).ravel()
    return np.stack([shares, np.ones(len(shares))], axis=1)


def f1_rows(decisions, references, classes=3):
    said, label = np.eye(classes)[decisions], np.eye(classes)[references]
    return np.concatenate([said * label, said + label], axis=1)


def test_the_interval_of_an_accuracy_is_wilsons():
    interval = statistics.metric_interval(ACCURACY, right([1] * 90 + [0] * 10))
    # Wilson 1927 by hand: (p + z²/2n ± z sqrt(pq/n + z²/4n²)) / (1 + z²/n) with p = .9, n = 100, z = 1.96
    assert interval.low == pytest.approx(0.8256, abs=1e-4)
    assert interval.high == pytest.approx(0.9448, abs=1e-4)


def test_a_perfect_score_keeps_its_doubt():
    interval = statistics.metric_interval(ACCURACY, right(np.ones(50)))
    assert interval.high == 1.0
    assert 0.9 < interval.low < 0.95


def test_several_decisions_of_an_example_are_drawn_together():
    """An example whose ten decisions are all right or all wrong is one piece of evidence, not ten."""
    hits = np.array([10.0] * 15 + [0.0] * 5)
    together = statistics.metric_interval(ACCURACY, np.stack([hits, np.full(20, 10.0)], axis=1))
    apart = statistics.metric_interval(ACCURACY, right(np.repeat(hits / 10, 10)))
    assert together.high - together.low > 2.5 * (apart.high - apart.low)


def test_a_metric_that_is_no_mean_is_bootstrapped():
    generator = np.random.default_rng(0)
    references = generator.integers(0, 3, 300)
    rows = f1_rows(np.where(generator.random(300) < 0.8, references, (references + 1) % 3), references)
    interval = statistics.metric_interval(F1, rows)
    assert interval.low < f1(rows) < interval.high
    assert interval.high - interval.low < 0.15


def test_mcnemar_is_exact():
    new, old = np.ones(20), np.ones(20)
    old[:8] = 0  # 8 examples only the new one has right, 1 only the old one
    new[19] = 0
    paired = statistics.compare(ACCURACY, right(new), right(old))
    assert paired.gain == pytest.approx(7 / 20)
    assert paired.p == pytest.approx(2 * (1 + 9) / 2**9)
    assert paired.interval.low > 0


def test_draws_are_those_of_the_mean_of_the_differences():
    """What earlier versions computed, to the last digit."""
    generator = np.random.default_rng(3)
    new, old = (generator.random(77) < share_right for share_right in (0.8, 0.7))
    differences, draws = new.astype(float) - old, np.random.default_rng(0)
    means = [differences[draws.integers(0, 77, 77)].mean() for _ in range(statistics.RESAMPLES)]
    found = statistics.compare(ACCURACY, right(new), right(old))
    assert (found.interval.low, found.interval.high) == tuple(np.percentile(means, [2.5, 97.5]))
    assert found.gain == differences.mean()


def test_equal_models_do_not_differ():
    same = right(np.ones(10))
    paired = statistics.compare(ACCURACY, same, same)
    assert (paired.gain, paired.p, paired.interval.low, paired.interval.high) == (0, 1, 0, 0)


def test_f1_pairs_by_bootstrap():
    generator = np.random.default_rng(1)
    references = generator.integers(0, 3, 400)
    better, worse = (
        f1_rows(np.where(generator.random(400) < often, references, (references + 1) % 3), references)
        for often in (0.9, 0.6)
    )
    paired = statistics.compare(F1, better, worse)
    assert paired.interval.low > 0.1
    assert paired.p < 0.01


def turned(metric: Metric) -> Metric:
    """The same metric, lower is better."""
    return dataclasses.replace(metric, direction="lower", shares=False, figure=lambda rows: -metric.figure(rows))


PAIRS = arrays(np.float64, st.tuples(st.integers(3, 12), st.just(4)), elements=st.integers(0, 9)).map(
    lambda values: values + np.arange(len(values))[:, None]  # so that no column is constant
)
METRICS = st.sampled_from(
    [dataclasses.replace(ACCURACY, shares=False, figure=lambda rows: float(rows.sum())), SPEARMAN]
)


@given(PAIRS, METRICS)
@settings(max_examples=8, deadline=None)
def test_a_metric_turned_round_gives_the_mirrored_interval_and_the_same_gain(pairs, metric):
    with np.errstate(all="ignore"):
        rows, other = pairs[:, :2], pairs[:, 2:]
        plain, mirrored = statistics.metric_interval(metric, rows), statistics.metric_interval(turned(metric), rows)
        np.testing.assert_allclose((mirrored.low, mirrored.high), (-plain.high, -plain.low), atol=1e-12)
        a, b = (statistics.compare(version, rows, other) for version in (metric, turned(metric)))
        np.testing.assert_allclose(
            (a.gain, a.interval.low, a.interval.high, a.p), (b.gain, b.interval.low, b.interval.high, b.p)
        )
        assert statistics.drop_exceeds(metric, rows, other, 0.1, 0.05) == statistics.drop_exceeds(
            turned(metric), rows, other, 0.1, 0.05
        )


@given(arrays(np.float64, st.tuples(st.integers(1, 40), st.just(6)), elements=st.integers(0, 5)))
@settings(max_examples=10, deadline=None)
def test_the_sums_of_an_additive_metric_give_what_its_rows_give(rows):
    by_sums, by_rows = F1, dataclasses.replace(F1, additive=False)
    rows = rows + np.array([0, 0, 0, 1, 1, 1])
    assert statistics.metric_interval(by_sums, rows) == statistics.metric_interval(by_rows, rows)
    assert statistics.compare(by_sums, rows, rows[::-1]) == statistics.compare(by_rows, rows, rows[::-1])


@given(st.permutations(range(30)))
@settings(max_examples=10, deadline=None)
def test_the_gain_and_its_p_are_those_of_the_examples_in_any_order(order):
    generator = np.random.default_rng(2)
    new, old = (right(generator.random(30) < often) for often in (0.9, 0.5))
    plain, shuffled = statistics.compare(ACCURACY, new, old), statistics.compare(ACCURACY, new[order], old[order])
    assert (plain.gain, plain.p) == (shuffled.gain, shuffled.p)
    assert shuffled.interval.low == pytest.approx(plain.interval.low, abs=0.1)


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
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    assert 0.91 <= hits / 300 <= 1.0


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


def test_a_metric_that_is_not_additive_though_it_says_so_is_refused():
    """Its interval would be that of sums."""
    mean = Metric("gap", "lower", unused, lambda rows: float(rows[:, 0].mean()))
    rows = np.random.default_rng(0).random((20, 1))
    for asked in (lambda: statistics.metric_interval(mean, rows), lambda: statistics.compare(mean, rows, rows[::-1])):
        with pytest.raises(
            EdgedistillError,
            match="the metric 'gap' is declared additive, but is .* over all examples and .* from their sum",
        ):
            asked()
    found = statistics.metric_interval(dataclasses.replace(mean, additive=False), rows)
    assert found.low < rows.mean() < found.high
