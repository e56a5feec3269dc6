"""Percentiles of timed encoders, which a busy moment does not change."""

from __future__ import annotations

import numpy as np
import pytest

from edgedistill.measuring.encoder_timing import percentiles

QUIET = np.random.default_rng(0).uniform(1.0, 1.2, 1000)


def test_quiet_runs_have_their_own_percentiles():
    found = percentiles(QUIET)
    assert found.p50_ms == pytest.approx(np.percentile(QUIET, 50))
    assert found.p95_ms == pytest.approx(np.percentile(QUIET, 95), rel=0.01)


def test_busy_passes_do_not_count():
    disturbed = QUIET.copy()
    disturbed[200:800:4] += 50.0  # a quarter of the runs of six passes
    assert percentiles(disturbed).p95_ms == pytest.approx(percentiles(QUIET).p95_ms, rel=0.01)


def test_a_pass_that_is_always_slow_does():
    assert percentiles(3 * QUIET).p95_ms == pytest.approx(3 * percentiles(QUIET).p95_ms)
