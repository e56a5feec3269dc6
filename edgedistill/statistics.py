"""Uncertainty: intervals for one figure, paired comparison of two, percentiles that the sample supports."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats, Integers
from .contracts import metric as contracts
from .tasks._former import Metric

RESAMPLES = 2000
_LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A 95% confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """Model A minus model B on the same items, with its interval and the two-sided p of "no difference"."""

    difference: float
    interval: Interval
    p: float


def rows_interval(metric: contracts.Metric, rows: Floats, seed: int = 0) -> Interval:
    """95% interval of a metric by its statistics (E, K), a row per example: Wilson's where each is right or wrong, else
    the percentile bootstrap over examples."""
    from scipy.stats import binomtest

    if metric.shares and (rows[:, 1] == 1).all() and np.isin(rows[:, 0], (0.0, 1.0)).all():
        result = binomtest(int(rows[:, 0].sum()), len(rows)).proportion_ci(_LEVEL, method="wilson")
        return Interval(float(result.low), float(result.high))
    generator, n = np.random.default_rng(seed), len(rows)
    return _percentiles(np.array([metric.figure(rows[generator.integers(0, n, n)]) for _ in range(RESAMPLES)]))


def metric_interval(metric: Metric, decisions: Integers, references: Integers, seed: int = 0) -> Interval:
    """95% interval of a metric: Wilson's for a share of right answers (Wilson 1927), else the percentile bootstrap.

    Wilson's keeps its width at 0 and 1, where a bootstrap says that there is no doubt.
    """
    from scipy.stats import binomtest

    if metric.per_row is not None:
        shares = metric.per_row(decisions, references)
        if np.isin(shares, (0.0, 1.0)).all():
            result = binomtest(int(shares.sum()), len(shares)).proportion_ci(_LEVEL, method="wilson")
            return Interval(float(result.low), float(result.high))
        return _percentiles(_resampled_means(shares, seed))
    generator = np.random.default_rng(seed)
    n = len(references)
    draws = (generator.integers(0, n, n) for _ in range(RESAMPLES))
    return _percentiles(np.array([metric.score(decisions[i], references[i]) for i in draws]))


def compare(metric: Metric, a: Integers, b: Integers, references: Integers, seed: int = 0) -> Paired:
    """Paired comparison of two models on the same items.

    The interval is the percentile bootstrap over items (Efron & Tibshirani 1993, ch. 13). The p is McNemar's exact
    test where each answer is right or wrong (McNemar 1947), else the share of resamples on the other side of zero.
    """
    from scipy.stats import binomtest

    if metric.per_row is not None:
        differences = metric.per_row(a, references) - metric.per_row(b, references)
        interval = _percentiles(draws := _resampled_means(differences, seed))
        if np.isin(differences, (-1.0, 0.0, 1.0)).all():
            gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
            p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
            return Paired(float(differences.mean()), interval, p)
        return Paired(float(differences.mean()), interval, _two_sided(draws))
    draws = _resampled_differences(metric, a, b, references, seed)
    difference = metric.score(a, references) - metric.score(b, references)
    return Paired(float(difference), _percentiles(draws), _two_sided(draws))


def drop_exceeds(
    metric: Metric, a: Integers, b: Integers, references: Integers, limit: float, alpha: float, seed: int = 0
) -> bool:
    """Whether A is better than B by more than `limit` in all but `alpha` of the bootstrap resamples (one-sided)."""
    if metric.per_row is not None:
        draws = _resampled_means(metric.per_row(a, references) - metric.per_row(b, references), seed)
    else:
        draws = _resampled_differences(metric, a, b, references, seed)
    return float(np.percentile(draws, 100 * alpha)) > limit


def calibration_error(logits: Floats, references: Integers, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3): by how much confidence and accuracy differ, 0 to 1."""
    probabilities = np.exp(log_softmax(logits))
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == references
    places = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    gaps = np.abs(np.bincount(places, right, bins) - np.bincount(places, confidence, bins))
    return float(gaps.sum() / counts.sum())


def auroc(inside: Floats, outside: Floats) -> float:
    """The chance that one from inside scores higher than one from outside; ties count half (Mann & Whitney 1947)."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(inside, outside).statistic / (len(inside) * len(outside)))


def auroc_interval(inside: Floats, outside: Floats, seed: int = 0) -> Interval:
    """95% interval of the AUROC by the percentile bootstrap over the items of each side."""
    generator = np.random.default_rng(seed)
    order, n, m = np.argsort(np.concatenate([inside, outside]), kind="stable"), len(inside), len(outside)
    from_inside = order < n
    values = np.concatenate([inside, outside])[order]
    first, last = np.searchsorted(values, values, side="left"), np.searchsorted(values, values, side="right")
    draws = np.empty(RESAMPLES)
    for k in range(RESAMPLES):
        # How often each item was drawn; the pairs it wins are the outside items below it, ties half.
        weights = np.empty(n + m)
        weights[from_inside] = generator.multinomial(n, np.full(n, 1 / n))[order[from_inside]]
        weights[~from_inside] = generator.multinomial(m, np.full(m, 1 / m))[order[~from_inside] - n]
        outside_weights = np.where(from_inside, 0, weights)
        below = np.concatenate([[0], np.cumsum(outside_weights)])
        strictly = below[first]
        ties = below[last] - strictly
        draws[k] = (weights * from_inside * (strictly + ties / 2)).sum() / (n * m)
    return _percentiles(draws)


def runs_for(percentile: int) -> int:
    """Runs that a percentile needs: with fewer, the chance that none of them lies above it exceeds 5%.

    The smallest n with (q)^n <= 0.05: 29 for p90, 59 for p95, 299 for p99 (Wilks 1941).
    """
    return math.ceil(math.log(0.05) / math.log(percentile / 100))


def percentile(samples: NDArray[np.floating], wanted: int) -> float | None:
    """A percentile of the samples, or None when there are too few of them for it."""
    if len(samples) < runs_for(wanted):
        return None
    return float(np.percentile(samples, wanted))


def percentile_interval(samples: NDArray[np.floating], wanted: int) -> Interval | None:
    """95% interval of a percentile from the order statistics (Conover 1999, section 3.2); None with too few samples."""
    from scipy.stats import binom

    if len(samples) < runs_for(wanted):
        return None
    n, q = len(samples), wanted / 100
    ordered = np.sort(samples)
    low = max(0, int(binom.ppf((1 - _LEVEL) / 2, n, q)) - 1)
    high = min(n - 1, int(binom.ppf((1 + _LEVEL) / 2, n, q)))
    return Interval(float(ordered[low]), float(ordered[high]))


def log_softmax(logits: Floats) -> Floats:
    """Row-wise log-probabilities in float64."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def kl_divergence(p_logits: Floats, q_logits: Floats) -> Floats:
    """(R,) KL(p || q) of each row, in nats."""
    p, q = log_softmax(p_logits), log_softmax(q_logits)
    result: Floats = np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0.0)
    return result


def _resampled_means(values: Floats, seed: int) -> Floats:
    generator = np.random.default_rng(seed)
    n = len(values)
    return np.array([values[generator.integers(0, n, n)].mean() for _ in range(RESAMPLES)])


def _resampled_differences(metric: Metric, a: Integers, b: Integers, references: Integers, seed: int) -> Floats:
    generator = np.random.default_rng(seed)
    n = len(references)
    draws = np.empty(RESAMPLES)
    for k in range(RESAMPLES):
        i = generator.integers(0, n, n)
        draws[k] = metric.score(a[i], references[i]) - metric.score(b[i], references[i])
    return draws


def _percentiles(draws: Floats) -> Interval:
    low, high = np.percentile(draws, [100 * (1 - _LEVEL) / 2, 100 * (1 + _LEVEL) / 2])
    return Interval(float(low), float(high))


def _two_sided(draws: Floats) -> float:
    return float(min(1.0, 2 * min((draws <= 0).mean(), (draws >= 0).mean())))
