"""The spread of a round's repetitions with other seeds, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgedistill.contracts.metric import Direction, signed
from edgedistill.evaluation.results_models import RoundResult
from edgedistill.report.formatting import difference, metric


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over the seeds of the primary metric and of the gain over the control ('' without
    one)."""

    value: str
    gain: str


def spread(round_: RoundResult, direction: Direction) -> Spread | None:
    """None if the round was not repeated."""
    if len(round_.seeds) < 2:
        return None
    values = [seed.value for seed in round_.seeds]
    gains = [signed(seed.value - seed.control, direction) for seed in round_.seeds if seed.control is not None]
    return Spread(_mean_and_deviation(values, metric), _mean_and_deviation(gains, difference) if gains else "")


def _mean_and_deviation(values: Sequence[float], shown: Callable[[float], str]) -> str:
    return f"{len(values)} seeds: {shown(float(np.mean(values)))} ± {metric(float(np.std(values, ddof=1)))}"
