"""What the reports show of language models: speeds of prompts, checks, figures by size, continuations; and that nothing
is called as a classifier has it."""

from __future__ import annotations

import re
from html import unescape
from io import StringIO

import pytest
from rich.console import Console

from edgedistill.cli import tables
from edgedistill.contracts import registry
from edgedistill.evaluation.results import Results
from edgedistill.recipe.deployment_spec import Limits, SelectSpec
from edgedistill.report.html import limit_sentences, preference_sentence, render_html
from edgedistill.report.markdown import render_markdown
from edgedistill.report.metric_plot import drawable, front_of, metric_against_latency
from edgedistill.report.pace import paces
from edgedistill.report.warnings import candidate_warnings

JUDGE = registry.task("text-generation").judge(registry.task_as("text-generation", "bits_per_byte", {}))


def percentiles(p50: float, worse: float) -> dict[str, object]:
    ends = sorted([p50 * 0.95, p50 * 1.05])
    return {"p50": p50, "p90": worse, "p95": worse, "p99": None, "p50_ci": ends, "p95_ci": ends, "runs": 60}


def prompt(tokens: int, wait: float, rate: float) -> dict[str, object]:
    first = {"name": "ttft_ms", "words": "time to first token", "unit": "ms", "direction": "lower"}
    rest = {"name": "tokens_per_s", "words": "tokens per second", "unit": "tokens/s", "direction": "higher"}
    speeds = [first | percentiles(wait, wait * 1.5), rest | percentiles(rate, rate / 2)]
    return {"tokens": tokens, "phases_ms": {}, "speeds": speeds}


@pytest.fixture
def language(lower) -> Results:
    """The run that is judged by a perplexity, as one of language models. The smallest file is the slowest to speak."""
    paced = [(40.0, 50.0), (20.0, 100.0), (10.0, 25.0)]
    for candidate, (wait, rate) in zip(lower["candidates"], paced, strict=True):
        candidate["prompts"] = [prompt(16, wait / 8, rate), prompt(128, wait, rate * 0.9)]
        candidate["prompts_too_long"] = [512]
        candidate["tokenizer_bytes"] = 1_000_000
        candidate["checks"] = {"greedy_tokens": 0.5 if candidate["precision"] == "int8-dynamic" else 1.0}
        candidate["texts_read"] = {"by": "tokenizer.json", "texts": 10_256, "otherwise": 0, "bytes_otherwise": 0}
    lower["candidates"][2]["texts_read"] |= {"by": "its own tokenizer", "otherwise": 2, "shown": ["'ﬁne'"]}
    names = ["teacher", "r1", "r1/onnx/fp32/onnxruntime"]
    said = [("teacher", " lay on the mat.", None, None), ("r1", " lay in bed.", "teacher", 5)]
    said.append(("r1/onnx/fp32/onnxruntime", " lay in bed.", "r1", None))
    return Results.model_validate(
        lower
        | {
            "prompt_tokens": 128,
            "decision": "next token",
            "divergence": "KL from PyTorch, nats",
            "check_words": {"greedy_tokens": "greedy tokens equal to PyTorch's"},
            "data": {"task": "text-generation"},
            "flips": {},
            "by_size": [
                {
                    "low": low,
                    "high": high,
                    "unit": "bytes",
                    "examples": 20,
                    "figures": {name: [lower["teacher"]["figures"][0] | {"value": value}] for name in names},
                }
                for low, high, value in ((10, 99, 31.25), (100, 2000, 21.25))
            ],
            "generations": [
                {
                    "prompt": "The cat & the dog",
                    "said": [
                        {"by": by, "text": text, "beside": beside, "parts_at": at} for by, text, beside, at in said
                    ],
                }
            ],
        }
    )


def html(results: Results, **limits: float) -> str:
    return unescape(render_html(results, {}, SelectSpec(limits=Limits(**limits))))


def cli(results: Results, monkeypatch) -> str:
    out = StringIO()
    monkeypatch.setattr(tables, "standard_output", lambda: Console(file=out, width=250))
    tables.results(results)
    return out.getvalue()


def test_every_report_tells_the_speeds_at_the_prompts_that_the_choice_looked_at(language, monkeypatch):
    page, text, table = html(language), render_markdown(language), cli(language, monkeypatch)
    assert "Speed with prompts of 128 tokens" in page
    figure = "**perplexity 7.0000 [5.0000, 9.0000] on test (7.0000 on validation, where 3 candidates were compared)"
    assert f"{figure}, time to first token 20.00 ms, tokens per second 90.00" in text
    assert "medians with prompts of 128 tokens" in table
    for words in ("time to first token, ms", "tokens per second, tokens/s"):
        assert words in page
        assert words in text
    assert re.search(r"time to first .*tokens per second,.*\n.* token, ms .* tokens/s", table), "headers of two lines"
    for report in (page, text):
        assert "p50 ms" not in report
        assert "items/s" not in report
    row = next(line for line in table.splitlines() if "r1/onnx/fp32" in line)
    assert re.search(r"20\.00 +90\.00", row)


def test_speeds_of_all_lengths_stand_with_their_runs_and_what_was_left_out(language):
    page, text = html(language), render_markdown(language)
    assert "r1 fp32 at 512" in page
    assert "r1/onnx/fp32/onnxruntime at 512" in text
    assert "| r1/onnx/fp32/onnxruntime | 16 | 2.50 [2.38, 2.62] | 3.75 | 100 [95.00, 105] | 50.00 | 60 |" in text
    assert 'id="prompts"' in page


def test_the_checks_of_a_file_and_what_it_reads_otherwise_are_shown(language):
    page, text = html(language), render_markdown(language)
    assert "greedy tokens equal to PyTorch's" in page
    assert "10,254 of 10,256" in page
    assert "not 'ﬁne'" in page
    assert "| r1/onnx/int8-dynamic/onnxruntime | 0.5000 | 10,254 of 10,256 | its own tokenizer |" in text


def test_continuations_stand_side_by_side_and_the_place_where_they_part_is_marked(language):
    page, text = html(language), render_markdown(language)
    assert "The cat & the dog …" in page
    assert " lay <mark>in bed.</mark>" in page
    assert "differs from teacher at character 6" in page
    assert "same as r1" in page
    assert "| r1 | teacher | lay ‖in bed. |" in text
    assert "| r1/onnx/fp32/onnxruntime | r1 | lay in bed. |" in text


def test_figures_by_size_have_their_intervals_and_say_which_way_is_better(language):
    page, text = html(language), render_markdown(language)
    assert "Perplexity by document length" in page
    assert "10 to 99 bytes" in page
    assert "31.2500" in page
    assert "Lower is better." in page
    assert "| r1 | 31.2500 [3.0000, 7.0000] | 21.2500 [3.0000, 7.0000] |" in text


def test_nothing_is_called_as_a_classifier_has_it(language, monkeypatch):
    page, text, table = html(language), render_markdown(language), cli(language, monkeypatch)
    assert re.search(r" next-token .*\n.* agreement ", table), "a header of two lines"
    for found in (page, text):
        assert "next-token agreement" in found.lower()
    for found in (page, text, table):
        words = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", found, flags=re.DOTALL).lower()
        for wrong in ("accuracy", "flipped", "labels", "same as teacher", "classes", "right on"):
            assert wrong not in words.replace("accuracy on test may be overestimated", "").replace("accuracy drop", "")


def test_a_plot_for_each_speed_with_the_faster_ones_to_the_left(language):
    first, rest = paces(language)
    assert [point.candidate.precision for point in front_of(drawable(language, first))] == [
        "int8-dynamic",
        "fp32",
        "fp32",
    ]
    # Of tokens per second the most is the fastest: the student beats both its own int8 file, and the teacher's pace.
    assert [point.candidate.id for point in front_of(drawable(language, rest))] == [
        "r1/onnx/fp32/onnxruntime",
        "teacher/onnx/fp32/onnxruntime",
    ]
    assert "under the limit on tokens per second, 40 tokens/s" in metric_against_latency(
        language, Limits(tokens_per_s=40), rest
    )
    assert "over the limit on time to first token, 30 ms" in metric_against_latency(language, Limits(ttft_ms=30), first)
    assert "under the limit" not in metric_against_latency(language, Limits(tokens_per_s=1), rest)
    page = html(language)
    assert "against time to first token" in page
    assert "against tokens per second" in page
    assert "(← higher is better)" in page


def test_limits_and_preferences_of_speed_are_sentences(language):
    assert limit_sentences(Limits(ttft_ms=50, tokens_per_s=20)) == [
        "time to first token ≤ 50 ms",
        "at least 20 tokens/s",
    ]
    assert "shortest time" in preference_sentence(SelectSpec(prefer="ttft_ms"))
    assert "most tokens" in preference_sentence(SelectSpec(prefer="tokens_per_s"))
    tie = preference_sentence(SelectSpec(), language.speeds)
    assert tie.endswith("; those within 0.005 of it count as equal, and the best tokens per second of them wins")
    assert "least memory" in preference_sentence(SelectSpec(prefer="peak_rss_mb"))


def test_a_file_is_weighed_with_the_tokenizer_beside_it(language):
    assert "5.00 with tokenizer" in html(language)
    assert "4.00 (5.00 with tokenizer)" in render_markdown(language)


def test_a_file_that_reads_texts_otherwise_is_a_warning(language):
    found = candidate_warnings(language.candidates, language.hosts, JUDGE)
    sentence = "different tokens from their model's: r1/onnx/int8-dynamic/onnxruntime 2 of 10256 ('ﬁne')."
    assert [warning for warning in found if warning.endswith(sentence)]
    alike = language.model_copy(update={"candidates": language.candidates[:2]})
    found = candidate_warnings(alike.candidates, alike.hosts, JUDGE)
    assert not any("different tokens" in warning for warning in found)


def test_a_file_that_decodes_otherwise_than_it_reads_is_a_warning_with_its_figures(language):
    assert "how they are run" not in "".join(candidate_warnings(language.candidates, language.hosts, JUDGE))
    first, second, third = language.candidates
    low = second.model_copy(update={"checks": {"padded_tokens": 0.9, "uncached_tokens": 1.0}})
    lowest = third.model_copy(update={"checks": {"padded_tokens": 0.085, "uncached_tokens": 0.896}})
    (found,) = candidate_warnings([first, low, lowest], language.hosts, JUDGE)[:1]
    assert found == (
        "These files answer differently depending on how they are run, while their figures are of whole inputs at "
        "once: r1/onnx/int8-dynamic/onnxruntime tokens in a padded batch equal to alone 0.0850, tokens without cache "
        "equal to with cache 0.8960; r1/onnx/fp32/onnxruntime tokens in a padded batch equal to alone 0.9000."
    )
