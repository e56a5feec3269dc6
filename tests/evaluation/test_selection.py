from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edgedistill.evaluation.beside_fp32 import BesideFp32
from edgedistill.evaluation.selection import Figures, Primary, choose, pareto_front
from edgedistill.evaluation.speed_up import SpeedUp
from edgedistill.recipe.deployment_spec import SelectSpec

ACCURACY, LOSS = Primary("accuracy", "higher"), Primary("loss", "lower")


def figures(name: str, **change: float) -> Figures:
    base: dict[str, Any] = {
        "value": 0.9,
        "drop": 0.02,
        "file_mb": 5.0,
        "p50_ms": 2.0,
        "p95_ms": 3.0,
        "peak_rss_mb": 50.0,
        "load_ms": 20.0,
        "agreement": 1.0,
        "shipped_mb": 6.0,
    }
    return Figures(id=name, **(base | change))


LARGE = figures("large", value=0.95, drop=0.0, file_mb=90.0, p50_ms=8.0, p95_ms=9.0)
MIDDLE = figures("middle")
SMALL = figures("small", value=0.85, drop=0.1, file_mb=1.0, p50_ms=0.5, p95_ms=0.7)
ALL = [LARGE, MIDDLE, SMALL]


def select(prefer: str = "accuracy", tie: float = 0.0, **limits: float) -> SelectSpec:
    return SelectSpec.model_validate({"limits": limits, "prefer": prefer, "tie": tie})


def test_without_limits_the_preference_decides():
    assert choose(ALL, select(), 0.9, ACCURACY).chosen == "large"
    assert choose(ALL, select("latency"), 0.9, ACCURACY).chosen == "small"
    assert choose(ALL, select("size"), 0.9, ACCURACY).chosen == "small"


def test_each_limit_blocks_and_says_so():
    for limit, words in [
        ({"file_mb": 4.0}, "file 5.00 MB exceeds the limit of 4 MB"),
        ({"shipped_mb": 5.5}, "file with tokenizer 6.00 MB exceeds the limit of 5.5 MB"),
        ({"p95_ms": 2.5}, "p95 3.00 ms exceeds the limit of 2.5 ms"),
        ({"peak_rss_mb": 40.0}, "peak memory 50.00 MB exceeds the limit of 40 MB"),
        ({"load_ms": 10.0}, "load 20.00 ms exceeds the limit of 10 ms"),
        ({"drop": 0.01}, "accuracy drop 0.0200 exceeds the limit of 0.01"),
    ]:
        verdict = choose([MIDDLE], select("accuracy", 0.0, **limit), 0.9, ACCURACY).verdicts[0]
        assert verdict.blocked_by == (words,)
        assert not verdict.within_limits


def test_a_limit_that_is_just_met_does_not_block():
    assert choose([MIDDLE], select(file_mb=5.0, p95_ms=3.0, drop=0.02), 1.0, ACCURACY).chosen == "middle"


def test_what_could_not_be_measured_does_not_pass_a_limit():
    choice = choose([figures("a", peak_rss_mb=None)], select(peak_rss_mb=100.0), 0.9, ACCURACY)
    assert choice.chosen is None
    assert "could not be measured" in choice.why


def test_a_file_below_the_agreement_is_never_chosen_nor_on_the_front():
    broken = figures("broken", value=0.99, agreement=0.5, p50_ms=0.1, file_mb=0.1)
    choice = choose([broken, MIDDLE], select(), 0.98, ACCURACY)
    assert choice.chosen == "middle"
    assert choice.verdicts[0].blocked_by == ("agreement 0.5000 is below verify.min_agreement 0.98",)
    assert not choice.verdicts[0].on_pareto_front


def test_accuracies_within_the_tie_count_as_equal_and_the_faster_wins():
    quick = figures("quick", value=0.897, p50_ms=0.5)
    assert choose([MIDDLE, quick], select(tie=0.0), 0.9, ACCURACY).chosen == "middle"
    choice = choose([MIDDLE, quick], select(tie=0.005), 0.9, ACCURACY)
    assert choice.chosen == "quick"
    assert "within 0.005 of the best accuracy (middle, 0.9000)" in choice.why


def test_when_nothing_fits_the_nearest_miss_and_its_limit_are_named():
    choice = choose(ALL, select(file_mb=4.5, drop=0.03), 0.9, ACCURACY)
    assert choice.chosen is None
    assert choice.why == "No candidate meets the limits. Closest: middle (file 5.00 MB exceeds the limit of 4.5 MB)."


def quantized(speed: SpeedUp, **change: float) -> Figures:
    row = figures("int8", **change)
    beside = BesideFp32("int8-dynamic", "middle", speed, row.file_mb, MIDDLE.file_mb)
    return dataclasses.replace(row, beside=beside)


SLOWER = SpeedUp(0.83, 0.8, 0.86)
SLOWER_SENTENCE = "int8-dynamic is slower than fp32 here: 0.83x [0.80, 0.86]"


def test_a_file_that_is_slower_than_its_fp32_file_is_not_chosen_where_speed_counts():
    slow = quantized(SLOWER, value=0.95, file_mb=1.0)
    choice = choose([MIDDLE, slow], select(), 0.9, ACCURACY)
    assert choice.chosen == "middle"
    assert choice.verdicts[1].blocked_by == choice.verdicts[1].worse_than_fp32 == (SLOWER_SENTENCE,)
    assert choice.verdicts[0].worse_than_fp32 == ()
    for prefer in ("size", "peak_rss_mb"):
        marked = choose([MIDDLE, dataclasses.replace(slow, peak_rss_mb=10.0)], select(prefer), 0.9, ACCURACY)
        assert marked.chosen == "int8"
        assert marked.verdicts[1].blocked_by == ()
        assert marked.verdicts[1].worse_than_fp32 == (SLOWER_SENTENCE,)


def test_a_file_that_is_larger_than_its_fp32_file_is_not_chosen_unless_latency_is_preferred():
    large = quantized(SpeedUp(1.5, 1.4, 1.6), value=0.95, file_mb=6.0, p50_ms=1.0)
    for prefer, chosen in (("metric", "middle"), ("size", "middle"), ("latency", "int8")):
        choice = choose([MIDDLE, large], select(prefer), 0.9, ACCURACY)
        assert choice.chosen == chosen
        assert choice.verdicts[1].worse_than_fp32 == ("int8-dynamic is larger than fp32: 6.00 MB, fp32 5.00 MB",)


def test_a_slower_file_may_be_chosen_where_its_fp32_file_exceeds_a_limit():
    slow = quantized(SLOWER, file_mb=1.0)
    choice = choose([MIDDLE, slow], select(file_mb=4.0), 0.9, ACCURACY)
    assert choice.chosen == "int8"
    assert choice.verdicts[1].blocked_by == ()
    assert choice.verdicts[1].worse_than_fp32 == (SLOWER_SENTENCE,)


POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=12)


@given(POINTS)
def test_the_front_is_what_nothing_beats(points):
    rows = [figures(str(i), value=a / 10, p50_ms=float(p), file_mb=float(f)) for i, (a, p, f) in enumerate(points)]
    front = pareto_front(rows, ACCURACY)
    assert front
    for row in rows:
        better = [
            other
            for other in rows
            if (other.value, -other.p50_ms, -other.file_mb) != (row.value, -row.p50_ms, -row.file_mb)
            and other.value >= row.value
            and other.p50_ms <= row.p50_ms
            and other.file_mb <= row.file_mb
        ]
        assert (row.id in front) == (not better)


@given(POINTS, st.sampled_from(["accuracy", "latency", "size"]), st.sampled_from([0.0, 0.15]))
def test_a_metric_turned_round_chooses_the_same(points, prefer, tie):
    rows = [figures(str(i), value=a / 10, p50_ms=float(p), file_mb=float(f)) for i, (a, p, f) in enumerate(points)]
    turned = [dataclasses.replace(row, value=-row.value) for row in rows]
    assert pareto_front(rows, ACCURACY) == pareto_front(turned, LOSS)
    limits = {"drop": 0.02, "file_mb": 3.5}
    plain, other = (
        choose(rows, select(prefer, tie, **limits), 0.9, ACCURACY),
        choose(turned, select(prefer, tie, **limits), 0.9, LOSS),
    )
    assert plain.chosen == other.chosen
    assert [verdict.within_limits for verdict in plain.verdicts] == [
        verdict.within_limits for verdict in other.verdicts
    ]


def test_a_metric_that_is_lower_is_better_reads_as_one():
    rows = [figures("a", value=2.5, drop=0.25), figures("b", value=2.25, drop=0.0, p50_ms=9.0)]
    choice = choose(rows, select(drop=0.1), 0.9, LOSS)
    assert choice.chosen == "b"
    assert choice.verdicts[0].blocked_by == ("loss rise 0.2500 exceeds the limit of 0.1",)
    assert "it has the best loss:" in choice.why
    choice = choose(rows, select("latency"), 0.9, LOSS)
    assert "validation loss 2.5000 (+0.2500 from the teacher, lower is better)" in choice.why
