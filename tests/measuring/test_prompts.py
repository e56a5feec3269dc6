"""Prompts that a model reads, and what the times of their phases come to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.speed import Prompts, Speed
from edgedistill.measuring.latency import summary_of
from edgedistill.measuring.prompts import speeds_of, write_prompts

SPEEDS = (
    Speed("wait_ms", "wait", "ms", "lower", lambda phases: phases["read"]),
    Speed("rate", "rate", "a second", "higher", lambda phases: 1e3 / phases["say"]),
)


def made(items, tokens, count):
    return Items.of({"ids": Column("input", "sequence")}, {"ids": [[7] * tokens] * count}, range(count))


def test_lengths_that_the_model_reads_are_written_and_the_others_named(tmp_path):
    found = write_prompts(Prompts((2, 4, 8), made, SPEEDS), None, None, 4, 20, tmp_path / "prompts")
    assert list(found.files) == [2, 4]
    assert found.too_long == (8,)
    assert {tokens: set(Items.open(file).lengths) for tokens, file in found.files.items()} == {2: {2}, 4: {4}}
    assert len(Items.open(found.files[2])) == 20  # a whole batch


def test_the_recipes_lengths_take_the_place_of_the_tasks(tmp_path):
    assert list(write_prompts(Prompts((2, 4), made, SPEEDS), None, (3,), 4, 1, tmp_path / "prompts").files) == [3]


def test_a_slow_phase_changes_its_own_figure_alone():
    fast = {"read": (4.0,) * 60, "say": (2.0,) * 60}
    slow = fast | {"read": (40.0,) * 60}
    found, before = speeds_of(SPEEDS, slow), speeds_of(SPEEDS, fast)
    assert (before["wait_ms"]["p50"], found["wait_ms"]["p50"]) == (4.0, 40.0)
    assert found["rate"] == before["rate"]
    assert before["rate"]["p50"] == 500.0


def test_the_tail_of_a_figure_is_its_worse_end():
    samples = np.arange(1.0, 101.0)
    lower: dict[str, Any] = summary_of(samples)
    higher: dict[str, Any] = summary_of(samples, "higher")
    assert lower["p95"] == pytest.approx(np.percentile(samples, 95))
    assert higher["p95"] == pytest.approx(np.percentile(samples, 5))
    assert higher["p95_ci"][0] <= higher["p95"] <= higher["p95_ci"][1] < higher["p50_ci"][0]
    assert summary_of(samples[:58], "higher")["p95"] is None
    assert summary_of(samples[:58], "higher")["p95_ci"] is None
