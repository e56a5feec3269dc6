"""Which of several candidates is preferred, what decides among equals, and which miss is the nearest."""

from __future__ import annotations

import pytest
from evaluation.test_selection import ACCURACY, figures, select

from edgedistill.evaluation.selection import choose


def chosen(*rows, prefer="accuracy", tie=0.0, least=0.9, **limits):
    return choose(rows, select(prefer, tie, **limits), least, ACCURACY).chosen


@pytest.mark.parametrize(
    ("prefer", "better"),
    [("accuracy", {"value": 0.91}), ("latency", {"p50_ms": 1.9}), ("size", {"file_mb": 4.9})],
)
def test_the_preference_looks_at_its_own_figure_alone(prefer, better):
    """The other is better in everything else."""
    rest = {"value": 0.905, "p50_ms": 1.95, "file_mb": 4.95}
    other = figures("other", **{name: value for name, value in rest.items() if name not in better})
    assert chosen(other, figures("better", **better), prefer=prefer) == "better"


@pytest.mark.parametrize(
    ("prefer", "first", "second"),
    [
        ("latency", {"value": 0.91}, {"file_mb": 4.0}),
        ("latency", {"file_mb": 4.0}, {}),
        ("size", {"value": 0.91}, {"p50_ms": 1.0}),
        ("size", {"p50_ms": 1.0}, {}),
        ("accuracy", {"p50_ms": 1.0}, {"file_mb": 4.0}),
        ("accuracy", {"file_mb": 4.0}, {}),
    ],
)
def test_among_equals_the_others_decide_in_order(prefer, first, second):
    rows = figures("second", **second), figures("first", **first)
    assert chosen(*rows, prefer=prefer) == "first"
    assert chosen(*reversed(rows), prefer=prefer) == "first"


def test_a_tie_counts_from_the_most_accurate_that_fits():
    top = figures("top", value=0.95, file_mb=90.0)
    rows = top, figures("good", value=0.90), figures("fair", value=0.896, p50_ms=1.0)
    assert chosen(*rows, tie=0.005, file_mb=10.0) == "fair"
    assert chosen(*rows, tie=0.003, file_mb=10.0) == "good"
    assert chosen(*rows, tie=0.005) == "top"


def test_an_agreement_that_is_just_reached_is_enough():
    (verdict,) = choose([figures("a", agreement=0.98)], select(), 0.98, ACCURACY).verdicts
    assert (verdict.within_limits, verdict.on_pareto_front, verdict.blocked_by) == (True, True, ())


def test_the_front_is_of_accuracy_speed_and_size_and_a_blocked_one_may_be_on_it():
    best, slow = figures("best"), figures("slow", p50_ms=2.1, peak_rss_mb=1.0, load_ms=1.0)
    verdicts = {verdict.id: verdict for verdict in choose([best, slow], select(file_mb=1.0), 0.9, ACCURACY).verdicts}
    assert verdicts["best"].on_pareto_front
    assert not verdicts["slow"].on_pareto_front
    assert not verdicts["best"].within_limits


def test_the_nearest_miss_is_by_shares_of_the_limits_together():
    """2 MB over 40 is nearer than 1 ms over 2; two small misses are nearer than a large one."""
    large = figures("large", file_mb=42.0)
    slow = figures("slow", p95_ms=3.0)
    found = choose([slow, large], select(file_mb=40.0, p95_ms=2.0), 0.9, ACCURACY)
    assert found.chosen is None
    assert "Closest: slow" in found.why  # large is too slow as well: its 3 ms are over the 2
    large = figures("large", file_mb=42.0, p95_ms=2.0)
    assert "Closest: large" in choose([slow, large], select(file_mb=40.0, p95_ms=2.0), 0.9, ACCURACY).why


def test_what_answers_otherwise_is_the_nearest_only_when_all_do():
    wrong = figures("wrong", agreement=0.89, file_mb=5.0)
    big = figures("big", file_mb=50.0)
    assert "Closest: big" in choose([wrong, big], select(file_mb=5.0), 0.9, ACCURACY).why
    assert "Closest: wrong" in choose([wrong], select(file_mb=5.0), 0.9, ACCURACY).why


def test_nothing_measured_is_said():
    assert choose([], select(), 0.9, ACCURACY).chosen is None


def test_a_choice_says_how_many_fit_and_by_how_much_it_drops():
    rows = [figures("a", value=0.9, drop=0.02), figures("b", file_mb=9.0)]
    why = choose(rows, select(file_mb=6.0), 0.9, ACCURACY).why
    assert "1 of 2 candidates that were compared on validation meet the limits" in why
    assert "validation accuracy 0.9000 (-0.0200 from the teacher)" in why
