"""What the repetitions of a round with other seeds say, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgedistill.results import RoundResult

from .formatting import difference, share


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over the seeds, of accuracy and of the gain over the control ('' without one)."""

    accuracy: str
    gain: str


def spread(each: RoundResult) -> Spread | None:
    """None when the round was not repeated."""
    if len(each.seeds) < 2:
        return None
    accuracy = [seed.accuracy for seed in each.seeds]
    gains = [seed.accuracy - seed.control_accuracy for seed in each.seeds if seed.control_accuracy is not None]
    return Spread(_mean_and_deviation(accuracy, share), _mean_and_deviation(gains, difference) if gains else "")


def _mean_and_deviation(values: Sequence[float], shown: Callable[[float], str]) -> str:
    return f"{len(values)} seeds: {shown(float(np.mean(values)))} ± {share(float(np.std(values, ddof=1)))}"
