"""The choice by a task's own figures of speed, some of which are better higher and some lower."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgedistill.contracts.speed import Speed
from edgedistill.evaluation.selection import Figures, Primary, Prompted, choose, pareto_front
from edgedistill.recipe.deployment_spec import SelectSpec

LOSS = Primary("bits_per_byte", "lower")
SPEEDS = (
    Speed("ttft_ms", "time to first token", "ms", "lower", lambda phases: np.zeros(1)),
    Speed("tokens_per_s", "tokens per second", "tokens/s", "higher", lambda phases: np.zeros(1)),
)
AT = Prompted(SPEEDS, 128)


def figures(name: str, ttft: float | None, rate: float | None, **change: float | None) -> Figures:
    speeds = {"ttft_ms": ttft, "tokens_per_s": rate}
    base: dict[str, Any] = {
        "value": 1.5,
        "drop": 0.0,
        "file_mb": 5.0,
        "shipped_mb": 6.0,
        "p50_ms": 2.0,
        "p95_ms": 3.0,
        "peak_rss_mb": 50.0,
    }
    known = {name: value for name, value in speeds.items() if value is not None}
    return Figures(id=name, load_ms=1.0, agreement=1.0, speeds=known, **(base | change))


SOON, FAST = figures("soon", 5.0, 100.0), figures("fast", 20.0, 400.0)


def chosen(*rows: Figures, prefer: str = "metric", **limits: float):
    return choose(rows, SelectSpec.model_validate({"limits": limits, "prefer": prefer}), 0.9, LOSS, AT)


def test_each_preference_goes_its_own_way():
    assert chosen(SOON, FAST, prefer="ttft_ms").chosen == "soon"
    assert chosen(SOON, FAST, prefer="tokens_per_s").chosen == "fast"
    small = figures("small", 20.0, 100.0, peak_rss_mb=10.0)
    assert chosen(SOON, FAST, small, prefer="peak_rss_mb").chosen == "small"


def test_a_limit_on_tokens_a_second_changes_the_choice_and_is_a_least():
    found = chosen(SOON, FAST, prefer="ttft_ms", tokens_per_s=150.0)
    assert found.chosen == "fast"
    (blocked,) = next(verdict.blocked_by for verdict in found.verdicts if verdict.id == "soon")
    assert blocked == "tokens per second 100.00 tokens/s with prompts of 128 tokens is below the limit of 150 tokens/s"
    assert chosen(SOON, FAST, prefer="ttft_ms", tokens_per_s=100.0).chosen == "soon"


def test_a_limit_on_the_first_token_is_a_most():
    found = chosen(SOON, FAST, prefer="tokens_per_s", ttft_ms=10.0)
    assert found.chosen == "soon"
    (blocked,) = next(verdict.blocked_by for verdict in found.verdicts if verdict.id == "fast")
    assert blocked == "time to first token 20.00 ms with prompts of 128 tokens exceeds the limit of 10 ms"
    assert chosen(SOON, FAST, prefer="tokens_per_s", ttft_ms=20.0).chosen == "fast"


def test_what_could_not_be_measured_is_blocked_by_a_limit_and_is_preferred_last():
    unknown = figures("unknown", 5.0, None)
    found = chosen(unknown, FAST, tokens_per_s=1.0)
    assert found.chosen == "fast"
    assert "tokens per second could not be measured, limit 1 tokens/s" in found.verdicts[0].blocked_by
    assert chosen(unknown, FAST, prefer="tokens_per_s").chosen == "fast"


def test_the_nearest_is_named_where_none_is_fast_enough():
    assert "Closest: fast" in chosen(SOON, FAST, tokens_per_s=500.0).why


def test_the_front_is_of_metric_speeds_memory_and_size():
    worse = figures("worse", 20.0, 100.0)
    assert pareto_front([SOON, FAST, worse], LOSS, AT) == {"soon", "fast"}
    light = figures("light", 20.0, 100.0, peak_rss_mb=49.0)
    assert pareto_front([SOON, FAST, light], LOSS, AT) == {"soon", "fast", "light"}
    run = figures("run", 20.0, 100.0, p50_ms=0.1)  # a run of what data there is: not what is asked
    assert pareto_front([SOON, FAST, run], LOSS, AT) == {"soon", "fast"}


def test_the_sentence_tells_the_speeds_and_where_they_were_measured():
    why = chosen(SOON, FAST, prefer="tokens_per_s").why
    assert "it has the best tokens per second:" in why
    assert "time to first token 20.00 ms, tokens per second 400.00 tokens/s with prompts of 128 tokens, 5.00 MB" in why


def test_ties_are_broken_by_the_figure_that_the_report_shows():
    quick_run = figures("quick-run", 20.0, 100.0, value=1.5, p50_ms=0.1, file_mb=1.0)
    fluent = figures("fluent", 20.0, 400.0, value=1.504)
    found = chosen(quick_run, fluent)
    assert found.chosen == "fluent"
    assert "it has the best tokens per second of those within 0.005 of the best bits per byte (quick-run, 1.5000)" in (
        found.why
    )
    unknown = figures("unknown", None, None, value=1.499, p50_ms=0.1)
    assert chosen(unknown, fluent).chosen == "fluent"


def test_without_a_length_in_common_ties_are_broken_by_the_latency_that_is_shown_then():
    slow, quick = figures("slow", None, None), figures("quick", None, None, value=1.504, p50_ms=1.0)
    found = choose([slow, quick], SelectSpec(), 0.9, LOSS, Prompted(SPEEDS, None))
    assert found.chosen == "quick"
    assert "it is the fastest (p50) of those within 0.005 of the best bits per byte (slow, 1.5000)" in found.why
    assert "p50 1.00 ms" in found.why


@pytest.mark.parametrize("prefer", ["metric", "size", "latency", "peak_rss_mb"])
def test_without_such_figures_nothing_of_them_is_said(prefer):
    found = choose([SOON, FAST], SelectSpec(prefer=prefer), 0.9, LOSS)
    assert "token" not in found.why
    assert found.chosen in ("soon", "fast")
