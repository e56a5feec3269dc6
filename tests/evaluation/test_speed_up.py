"""The speed-up over fp32, and the flaws of a quantized file."""

from __future__ import annotations

import numpy as np
import pytest

from edgedistill.arrays import Floats
from edgedistill.evaluation.beside_fp32 import BesideFp32
from edgedistill.evaluation.speed_up import SpeedUp, speed_up


def timed(median: float, drift: Floats, seed: int, runs: int = 300) -> list[Floats]:
    """Runs of each pass around a median that drifts from pass to pass."""
    generator = np.random.default_rng(seed)
    return [median * factor * generator.lognormal(0.0, 0.05, runs) for factor in drift]


STEADY = np.ones(10)


def test_twice_as_fast_is_a_speed_up_of_two():
    found = speed_up(timed(1.0, STEADY, 1), timed(2.0, STEADY, 2))
    assert found.value == pytest.approx(2.0, rel=0.01)
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.06
    assert not found.slower


def test_the_value_is_the_ratio_of_the_medians_of_all_runs():
    own, fp32 = timed(1.0, STEADY, 1, 31), timed(0.8, STEADY, 2, 57)
    found = speed_up(own, fp32)
    assert found.value == np.median(np.concatenate(fp32)) / np.median(np.concatenate(own))
    assert found.slower


def test_resampled_medians_are_those_of_the_drawn_passes():
    own, fp32 = timed(1.0, np.linspace(1, 3, 10), 1, 5), timed(2.0, np.linspace(1, 2, 10), 2, 7)
    drawn = np.random.default_rng(0).multinomial(10, np.full(10, 0.1), 2000)

    def median(passes: list[Floats], counts: Floats) -> float:
        values = np.sort(
            np.concatenate([runs for runs, count in zip(passes, counts, strict=True) for _ in range(count)])
        )
        return float(values[(len(values) - 1) // 2])

    ratios = [median(fp32, counts) / median(own, counts) for counts in drawn]
    found = speed_up(own, fp32)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(ratios, (2.5, 97.5))))


def test_what_slows_both_files_in_the_same_pass_does_not_widen_the_interval():
    drift = np.random.default_rng(5).lognormal(0.0, 0.4, 10)
    together = speed_up(timed(1.0, drift, 1), timed(2.0, drift, 2))
    apart = speed_up(timed(1.0, drift, 1), timed(2.0, drift[::-1].copy(), 2))
    assert together.high - together.low < (apart.high - apart.low) / 2


def test_equal_files_are_rarely_told_apart():
    """Passes that differ more than runs do: resampling runs would find a difference in most of these pairs."""
    generator = np.random.default_rng(7)
    told_apart = 0
    for trial in range(100):
        first, second = (generator.lognormal(0.0, 0.1, 10) for _ in range(2))
        found = speed_up(timed(1.0, first, 2 * trial, 60), timed(1.0, second, 2 * trial + 1, 60))
        told_apart += not found.low <= 1 <= found.high
    assert told_apart <= 20


def beside(speed: SpeedUp, file_mb: float) -> BesideFp32:
    return BesideFp32("int8-dynamic", "r1/onnx/fp32/onnxruntime", speed, file_mb, 4.0)


SLOWER, FASTER, UNCLEAR = SpeedUp(0.83, 0.8, 0.86), SpeedUp(1.5, 1.4, 1.6), SpeedUp(0.97, 0.94, 1.01)


def test_flaws_are_told_with_their_figures():
    assert beside(SLOWER, 1.0).flaws == {"slower": "int8-dynamic is slower than fp32 here: 0.83x [0.80, 0.86]"}
    assert beside(FASTER, 4.5).flaws == {"larger": "int8-dynamic is larger than fp32: 4.50 MB, fp32 4.00 MB"}
    assert beside(UNCLEAR, 4.0).flaws == {}


@pytest.mark.parametrize(
    ("prefer", "flaws"),
    [
        ("metric", ("slower", "larger")),
        ("latency", ("slower",)),
        ("size", ("larger",)),
        ("peak_rss_mb", ("larger",)),
        ("tokens_per_s", ()),
    ],
)
def test_a_flaw_blocks_only_where_the_preference_suffers(prefer, flaws):
    found = beside(SLOWER, 4.5)
    assert found.blocks(prefer) == tuple(found.flaws[flaw] for flaw in flaws)
