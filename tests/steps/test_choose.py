"""What the choice is told of each candidate."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from helpers import stand_in, verified_record

from edgedistill.contracts import registry
from edgedistill.evaluation import selection
from edgedistill.evaluation.speed_up import SpeedUp
from edgedistill.exporting.candidates import Candidate
from edgedistill.recipe.deployment_spec import SelectSpec
from edgedistill.steps import choose
from edgedistill.store.records.files import (
    FileId,
    Latency,
    Measurement,
    Percentiles,
    PromptMeasurement,
    TextsRead,
    VerifyId,
)

LATENCY = Latency(p50=2.0, p95=3.0, p90=9.0, p99=9.0, p50_ci=None, p95_ci=None, runs=5)


def measured(file_bytes, samples_ms=(), passes=()):
    return Measurement(
        latency_ms=LATENCY, throughput_per_s=1.0, load_ms=7.0, peak_rss_mb=40.0, empty_mb=None, runtime_version="",
        file_bytes=file_bytes, samples_ms=samples_ms, passes=passes, phases_ms={},
    )  # fmt: skip


def verified(value, agreement, **facts):
    return SimpleNamespace(record=verified_record(value, agreement, **facts))


def given(**facts):
    return SimpleNamespace(record=SimpleNamespace(**facts))


def test_every_figure_is_the_candidates_own_on_validation(tmp_path, monkeypatch):
    seen = []
    decide = selection.choose
    monkeypatch.setattr(choose, "choose", lambda figures, *rest: seen.extend(figures) or decide(figures, *rest))
    rows = [
        Candidate(id=f"r1/{name}", model="r1", target=name, precision="fp32", runtime="r", threads=1, batch=1)
        for name in ("a", "b", "unmeasured")
    ]
    inputs = choose.Inputs(
        measured=given(candidates={"r1/a": measured(3_000_000), "r1/b": measured(1)}),
        teacher=given(value=0.9),
        verified={
            VerifyId("r1", "a", "fp32", "r"): verified(0.75, 0.99),
            VerifyId("r1", "b", "fp32", "r"): verified(0.95, 0.5),
        },
        searched={FileId("r1", "b", "fp32"): given(search=SimpleNamespace(blocked="too far off"))},
    )
    settings = choose.Settings(
        task=registry.task_as("text-classification", "accuracy", {}),
        select=SelectSpec(),
        min_agreement=0.9,
        candidates=tuple(rows),
    )
    choice = choose.run(settings, inputs, tmp_path, stand_in()).choice
    first, second = seen
    assert (first.search_failed, second.search_failed) == (None, "too far off")
    assert (first.id, first.value, round(first.drop, 9), first.agreement) == ("r1/a", 0.75, 0.15, 0.99)
    assert (first.file_mb, first.p50_ms, first.p95_ms, first.peak_rss_mb, first.load_ms) == (3.0, 2.0, 3.0, 40.0, 7.0)
    assert (second.id, second.value, round(second.drop, 9), second.agreement) == ("r1/b", 0.95, -0.05, 0.5)
    assert choice.chosen == "r1/a"
    assert [verdict.id for verdict in choice.verdicts] == ["r1/a", "r1/b"]


def test_the_agreement_of_a_candidate_timed_in_batches_is_that_in_batches(tmp_path):
    rows = [
        Candidate(id=f"r1/a/{batch}", model="r1", target="a", precision="fp32", runtime="r", threads=1, batch=batch)
        for batch in (1, 16)
    ]
    inputs = choose.Inputs(
        measured=given(candidates={row.id: measured(1) for row in rows}),
        teacher=given(value=0.9),
        verified={rows[0].verify_key: verified(0.9, 0.99, batched=0.75)},
    )
    settings = choose.Settings(
        task=registry.task_as("text-classification", "accuracy", {}),
        select=SelectSpec(),
        min_agreement=0.9,
        candidates=tuple(rows),
    )
    single, batched = choose.run(settings, inputs, tmp_path, stand_in()).choice.verdicts
    assert single.blocked_by == ()
    assert batched.blocked_by == ("agreement 0.7500 is below verify.min_agreement 0.9",)


def test_a_quantized_candidate_is_compared_with_fp32_pass_by_pass(tmp_path):
    rows = [
        Candidate(id=f"r1/a/{name}", model="r1", target="a", precision=name, runtime="r", threads=1, batch=1)
        for name in ("fp32", "int8")
    ]
    measurements = {
        "r1/a/fp32": measured(4_000_000, (1.0, 1.0, 2.0, 2.0, 2.0), (2, 3)),
        "r1/a/int8": measured(1_000_000, (2.0, 4.0, 4.0), (1, 2)),
    }
    inputs = choose.Inputs(
        measured=given(candidates=measurements),
        teacher=given(value=0.9),
        verified={VerifyId("r1", "a", name, "r"): verified(0.9, 1.0) for name in ("fp32", "int8")},
    )
    settings = choose.Settings(
        task=registry.task_as("text-classification", "accuracy", {}),
        select=SelectSpec(prefer="size"),
        min_agreement=0.9,
        candidates=tuple(rows),
    )
    found = choose.run(settings, inputs, tmp_path, stand_in())
    assert list(found.beside_fp32) == ["r1/a/int8"]
    beside = found.beside_fp32["r1/a/int8"]
    assert (beside.fp32, beside.file_mb, beside.fp32_mb) == ("r1/a/fp32", 1.0, 4.0)
    # In both passes, and so in every resample, int8 takes twice as long.
    assert beside.speed_up == SpeedUp(0.5, 0.5, 0.5)
    assert found.choice.chosen == "r1/a/int8"
    del measurements["r1/a/fp32"]
    assert choose.run(settings, inputs, tmp_path, stand_in()).beside_fp32 == {}


LANGUAGE = registry.task_as("text-generation", "bits_per_byte", {})


def speeds(tokens, ttft, rate):
    told = {"ttft_ms": ttft, "tokens_per_s": rate}
    found = {
        name: Percentiles(p50=value, p90=None, p95=None, p99=None, p50_ci=None, p95_ci=None, runs=5)
        for name, value in told.items()
    }
    return PromptMeasurement(tokens=tokens, phases_ms={}, speeds=found, samples_ms={})


def language_choice(tmp_path, found, prompts=None, select=None):
    """The choice among files of a language model.

    Args:
        found: each precision's verification.
        prompts: each precision's measurements.
    """
    rows = [
        Candidate(id=f"r1/onnx/{name}", model="r1", target="onnx", precision=name, runtime="r", threads=1, batch=1)
        for name in found
    ]
    measurements = {
        row.id: measured(1_000_000, (1.0, 1.0), (1, 1)).model_copy(
            update={"prompts": (prompts or {}).get(row.precision, ())}
        )
        for row in rows
    }
    inputs = choose.Inputs(
        measured=given(candidates=measurements),
        teacher=given(value=1.0),
        verified={VerifyId("r1", "onnx", name, "r"): own for name, own in found.items()},
    )
    settings = choose.Settings(
        task=LANGUAGE, select=select or SelectSpec(), min_agreement=0.8, candidates=tuple(rows)
    )  # fmt: skip
    return choose.run(settings, inputs, tmp_path, stand_in())


def test_what_verification_found_in_a_file_blocks_it(tmp_path):
    read = TextsRead(by="tokenizer.json", texts=300, otherwise=2, bytes_otherwise=1, in_data=1, shown=("'one'",))
    alike = read.model_copy(update={"in_data": 0})
    right = {"greedy_tokens": 1.0, "greedy_texts": 1.0, "padded_tokens": 1.0, "uncached_tokens": 1.0}
    found = {
        "fp32": verified(1.0, 1.0, checks=right | {"uncached_tokens": 0.6}, read=alike),
        "int8": verified(1.1, 1.0, checks=right, read=read),
        "int4": verified(1.3, 1.0, checks=right | {"uncached_tokens": 0.6}, read=alike),
    }
    choice = language_choice(tmp_path, found).choice
    assert choice.chosen == "r1/onnx/int4"
    fp32, int8, int4 = choice.verdicts
    assert fp32.blocked_by == (
        "tokens without cache equal to with cache: 0.6000, below the 0.9 that an fp32 file must reach",
    )
    assert int8.blocked_by == (
        "tokenizer.json gives different tokens from the model's tokenizer for text that occurs in the data: 1 of 300 "
        "strings, such as 'one'",
    )
    assert int4.within_limits
    assert (fp32.on_pareto_front, int8.on_pareto_front, int4.on_pareto_front) == (False, False, True)
    nothing = language_choice(tmp_path, {"fp32": found["fp32"]}).choice
    assert nothing.chosen is None
    assert "below the 0.9 that an fp32 file must reach" in nothing.why


RIGHT = verified(1.0, 1.0)


def test_the_speeds_are_those_of_the_longest_prompt_that_all_were_timed_on(tmp_path):
    prompts = {
        "fp32": (speeds(16, 1.0, 100.0), speeds(128, 8.0, 90.0), speeds(512, 40.0, 50.0)),
        "int4": (speeds(16, 2.0, 300.0), speeds(128, 16.0, 200.0)),
    }
    both = {"fp32": RIGHT, "int4": RIGHT}
    found = language_choice(tmp_path, both, prompts)
    assert found.prompt_tokens == 128
    assert "time to first token 16.00 ms, decoding speed 200.00 tokens/s with prompts of 128 tokens" in found.choice.why
    alone = language_choice(tmp_path, {"fp32": RIGHT}, prompts)
    assert alone.prompt_tokens == 512
    assert "time to first token 40.00 ms, decoding speed 50.00 tokens/s with prompts of 512 tokens" in alone.choice.why
    apart = language_choice(tmp_path, both, {"fp32": prompts["fp32"][2:], "int4": prompts["int4"]})
    assert apart.prompt_tokens is None
    assert "p50 2.00 ms" in apart.choice.why
    assert choose.longest_common_prompt([]) is None


def test_limits_on_speed_block_at_that_length(tmp_path):
    prompts = {
        "fp32": (speeds(16, 1.0, 300.0), speeds(128, 8.0, 90.0)),
        "int4": (speeds(16, 2.0, 100.0), speeds(128, 16.0, 200.0)),
    }
    both = {"fp32": RIGHT, "int4": RIGHT}

    def limited(**limits):
        return language_choice(tmp_path, both, prompts, SelectSpec.model_validate({"limits": limits})).choice

    slow = limited(tokens_per_s=100)
    assert slow.chosen == "r1/onnx/int4"
    assert slow.verdicts[0].blocked_by == (
        "decoding speed 90.00 tokens/s with prompts of 128 tokens is below the limit of 100 tokens/s",
    )
    late = limited(ttft_ms=10)
    assert late.chosen == "r1/onnx/fp32"
    assert late.verdicts[1].blocked_by == (
        "time to first token 16.00 ms with prompts of 128 tokens exceeds the limit of 10 ms",
    )
    assert limited(ttft_ms=10, tokens_per_s=100).chosen is None


@pytest.mark.parametrize(
    ("prefer", "expected"), [("ttft_ms", "fp32"), ("tokens_per_s", "int4"), ("metric", "int4"), ("latency", "fp32")]
)
def test_a_preference_for_a_speed_decides(tmp_path, prefer, expected):
    prompts = {"fp32": (speeds(128, 8.0, 90.0),), "int4": (speeds(128, 16.0, 200.0),)}
    found = {"fp32": verified(1.0, 1.0), "int4": verified(1.004, 1.0)}
    choice = language_choice(tmp_path, found, prompts, SelectSpec(prefer=prefer)).choice
    assert choice.chosen == f"r1/onnx/{expected}"


def test_a_drop_is_a_rise_of_a_metric_that_is_lower_is_better(tmp_path):
    found = {"fp32": verified(1.05, 1.0), "int4": verified(1.2, 1.0)}
    select = SelectSpec.model_validate({"limits": {"drop": 0.1}, "prefer": "size"})
    choice = language_choice(tmp_path, found, select=select).choice
    assert choice.chosen == "r1/onnx/fp32"
    assert choice.verdicts[1].blocked_by == ("bits per byte rise 0.2000 exceeds the limit of 0.1",)
