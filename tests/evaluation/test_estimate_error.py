"""How far estimates were off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.evaluation.estimate_error import EstimatedCandidate, estimate_errors, estimated

positive = st.floats(1e-3, 1e6)


def candidate(name: str, **pairs: tuple[float, float]) -> EstimatedCandidate:
    return EstimatedCandidate(id=name, **{figure: estimated(*pair) for figure, pair in pairs.items()})


def test_median_errors_as_shares_of_what_was_measured():
    found = estimate_errors(
        [
            candidate("a", file_bytes=(90.0, 100.0), p50_ms=(1.0, 2.0)),
            candidate("b", file_bytes=(100.0, 100.0), p50_ms=(3.0, 4.0)),
            candidate("c", file_bytes=(130.0, 100.0)),
            candidate("d"),
        ]
    )
    assert found is not None
    assert [one.id for one in found.candidates] == ["a", "b", "c"]
    assert found.file_error == pytest.approx(0.1)
    assert found.p50_error == pytest.approx((0.5 + 0.25) / 2)
    assert found.p95_error is None
    assert found.in_words == "Median error of the plan's estimates: file size 10%, p50 38%."
    assert found.candidates[0].p50_ms.ratio == 2.0


def test_no_estimates():
    assert estimate_errors([candidate("a")]) is None
    assert estimated(None, 1.0) is None
    assert estimated(1.0, None) is None


@given(positive, positive)
def test_an_error_is_zero_exactly_where_the_ratio_is_one(expected, measured):
    pair = estimated(expected, measured)
    assert pair is not None
    assert pair.error >= 0
    assert (pair.error == 0) == (pair.ratio == 1)
