"""Uncertainty: intervals for one figure, paired comparison of two, percentiles supported by the sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgedistill.arrays import Floats
from edgedistill.contracts.metric import Metric, signed
from edgedistill.errors import EdgedistillError

RESAMPLES = 2000
_LEVEL = 0.95
_COUNTS_AT_ONCE = 2**21
"""Number of resampling draws held in memory at once."""


@dataclass(frozen=True)
class Interval:
    """A 95% confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """How much better a new model is than an old one on the same examples: positive is better, whatever the metric's
    direction. With its interval and the two-sided p-value of "no difference"."""

    gain: float
    interval: Interval
    p: float


def metric_interval(metric: Metric, rows: Floats, seed: int = 0) -> Interval:
    """95% interval of a metric: Wilson's for a share of right answers, one per example (Wilson 1927), else the
    percentile bootstrap over examples.

    Wilson's interval keeps its width at 0 and 1, where a bootstrap interval has none.

    Args:
        rows: (E, K) statistics, one row per example.
    """
    from scipy.stats import binomtest

    _check_additive(metric, rows)
    if _right_or_wrong(metric, rows):
        result = binomtest(int(rows[:, 0].sum()), len(rows)).proportion_ci(_LEVEL, method="wilson")
        return Interval(float(result.low), float(result.high))
    return _percentiles(np.array([metric.figure(drawn) for drawn in _resampled(rows, metric.additive, seed)]))


def compare(metric: Metric, new: Floats, old: Floats, seed: int = 0) -> Paired:
    """Paired comparison of two models on the same examples.

    The interval is the percentile bootstrap over examples (Efron & Tibshirani 1993, ch. 13). The p is McNemar's exact
    test where each example is right or wrong (McNemar 1947), else the share of resamples on the other side of zero.

    Args:
        new: (E, K) statistics of the new model, one row per example.
        old: (E, K) statistics of the old model, same examples in the same order.
    """
    from scipy.stats import binomtest

    draws = _resampled_gains(metric, new, old, seed)
    interval = _percentiles(draws)
    gain = _gain(metric, new, old)
    if not (_right_or_wrong(metric, new) and _right_or_wrong(metric, old)):
        return Paired(gain, interval, _two_sided(draws))
    gained, lost = int((new[:, 0] > old[:, 0]).sum()), int((new[:, 0] < old[:, 0]).sum())
    p = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return Paired(gain, interval, p)


def drop_exceeds(metric: Metric, reference: Floats, model: Floats, limit: float, alpha: float, seed: int = 0) -> bool:
    """Whether the model is worse than the reference by more than `limit` in all but `alpha` of the bootstrap resamples
    (one-sided).

    Args:
        reference: (E, K) statistics, one row per example.
        model: (E, K), the same examples in the same order.
    """
    draws = _resampled_gains(metric, reference, model, seed)
    return float(np.percentile(draws, 100 * alpha)) > limit


def auroc(inside: Floats, outside: Floats) -> float:
    """The probability that an inside item scores higher than an outside one; ties count half (Mann & Whitney 1947).

    >>> auroc(np.array([0.9, 0.5]), np.array([0.5, 0.1]))
    0.875
    """
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
    """Minimum runs for a percentile: with fewer, the probability that none lies above it exceeds 5%.

    The smallest n with (q)^n <= 0.05: 29 for p90, 59 for p95, 299 for p99 (Wilks 1941).

    >>> [runs_for(wanted) for wanted in (90, 95, 99)]
    [29, 59, 299]
    """
    return math.ceil(math.log(0.05) / math.log(percentile / 100))


def percentile(samples: Floats, wanted: int) -> float | None:
    """A percentile of the samples, or None if there are too few.

    >>> percentile(np.arange(29.0), 90)
    25.2
    >>> percentile(np.arange(28.0), 90) is None
    True
    """
    if len(samples) < runs_for(wanted):
        return None
    return float(np.percentile(samples, wanted))


def percentile_interval(samples: Floats, wanted: int) -> Interval | None:
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
    """Row-wise log-probabilities in float64.

    >>> log_softmax(np.array([[7.0, 7.0]])).round(3).tolist()
    [[-0.693, -0.693]]
    """
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _right_or_wrong(metric: Metric, rows: Floats) -> bool:
    """Whether every example has one decision that is right or wrong."""
    return metric.shares and bool((rows[:, 1] == 1).all() and np.isin(rows[:, 0], (0.0, 1.0)).all())


def _check_additive(metric: Metric, rows: Floats) -> None:
    """Raises EdgedistillError for a metric that is declared additive but is not, since its intervals would be wrong."""
    if not metric.additive:
        return
    whole, of_sum = metric.figure(rows), metric.figure(rows.sum(axis=0, keepdims=True))
    if not math.isclose(whole, of_sum, rel_tol=1e-6, abs_tol=1e-9):
        raise EdgedistillError(
            f"the metric '{metric.name}' is declared additive, but is {whole:.6g} over all examples and {of_sum:.6g} "
            "from their sum; expected equal values, or additive=False"
        )


def _resampled(rows: Floats, additive: bool, seed: int) -> Iterator[Floats]:
    """The rows of each resample; for an additive metric, only their sum."""
    generator = np.random.default_rng(seed)
    examples = len(rows)
    if not additive:
        for _ in range(RESAMPLES):
            yield rows[generator.integers(0, examples, examples)]
        return
    at_once = max(1, _COUNTS_AT_ONCE // examples)
    for first in range(0, RESAMPLES, at_once):
        drawn = (generator.integers(0, examples, examples) for _ in range(min(at_once, RESAMPLES - first)))
        counts = np.stack([np.bincount(draw, minlength=examples) for draw in drawn]).astype(np.float64)
        sums = counts @ rows
        for number in range(len(sums)):
            yield sums[number : number + 1]


def _resampled_gains(metric: Metric, new: Floats, old: Floats, seed: int) -> Floats:
    _check_additive(metric, new)
    both = np.concatenate([new, old], axis=1).astype(np.float64)
    width = new.shape[1]
    draws = _resampled(both, metric.additive, seed)
    return np.array([_gain(metric, drawn[:, :width], drawn[:, width:]) for drawn in draws])


def _gain(metric: Metric, new: Floats, old: Floats) -> float:
    """Signed difference. Shares with equal denominators are subtracted before division, which rounds less."""
    if metric.shares and np.array_equal(new[:, 1], old[:, 1]):
        share = float((new[:, 0].sum() - old[:, 0].sum()) / new[:, 1].sum())
        return signed(share, metric.direction)
    return metric.gain(metric.figure(new), metric.figure(old))


def _percentiles(draws: Floats) -> Interval:
    low, high = np.percentile(draws, [100 * (1 - _LEVEL) / 2, 100 * (1 + _LEVEL) / 2])
    return Interval(float(low), float(high))


def _two_sided(draws: Floats) -> float:
    return float(min(1.0, 2 * min((draws <= 0).mean(), (draws >= 0).mean())))
