"""The speed-up of a file over the fp32 file of the same model, target, runtime, threads and batch. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedistill.arrays import Floats, Integers
from edgedistill.evaluation.statistics import RESAMPLES


@dataclass(frozen=True)
class SpeedUp:
    """The fp32 file's median latency divided by this file's, with its 95% interval: above 1 is faster."""

    value: float
    low: float
    high: float

    @property
    def slower(self) -> bool:
        """Whether it is significantly slower than the fp32 file."""
        return self.high < 1

    @property
    def shown(self) -> str:
        """Its form in sentences.

        >>> SpeedUp(0.83, 0.8, 0.86).shown
        '0.83x [0.80, 0.86]'
        """
        return f"{self.value:.2f}x [{self.low:.2f}, {self.high:.2f}]"


def speed_up(own: Sequence[Floats], fp32: Sequence[Floats], seed: int = 0) -> SpeedUp:
    """The ratio of medians of two files that were timed in turns.

    The interval is the percentile bootstrap over passes, drawn for both files at once: runs of one pass are not
    independent, and the same pass of both files shares the state of the machine (Davison & Hinkley 1997, section 3.8).

    Args:
        own: this file's milliseconds in each pass.
        fp32: the fp32 file's in the same passes.
    """
    passes = len(own)
    drawn = np.random.default_rng(seed).multinomial(passes, np.full(passes, 1 / passes), RESAMPLES)
    low, high = np.percentile(_medians(fp32, drawn) / _medians(own, drawn), (2.5, 97.5))
    ratio = np.median(np.concatenate(fp32)) / np.median(np.concatenate(own))
    return SpeedUp(float(ratio), float(low), float(high))


def _medians(passes: Sequence[Floats], drawn: Integers) -> Floats:
    """(R,) the lower median of each resample, by bisection in the sorted runs, so that the cost hardly depends on their
    number.

    Args:
        drawn: (R, P) how often each pass was drawn.
    """
    values = np.sort(np.concatenate(passes))
    up_to = np.stack([np.searchsorted(np.sort(runs), values, side="right") for runs in passes], axis=1)
    half = drawn @ np.array([len(runs) for runs in passes]) / 2
    first, last = np.zeros(len(drawn), np.int64), np.full(len(drawn), len(values) - 1)
    while (first < last).any():
        middle = (first + last) // 2
        reached = (drawn * up_to[middle]).sum(axis=1) >= half
        first, last = np.where(reached, first, middle + 1), np.where(reached, middle, last)
    medians: Floats = values[first]
    return medians
