"""Speed columns of `report.md`: the task's own figures, or the latency of one inference."""

from __future__ import annotations

from collections.abc import Sequence

from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.report import formatting as f
from edgedistill.report.markdown_text import escape, table
from edgedistill.report.pace import speed_at

_LATENCY = ("p50 ms", "p95 ms", "p99 ms", "items/s")


def speed_names(results: Results) -> Sequence[str]:
    """Names of the columns."""
    if results.prompt_tokens is None:
        return _LATENCY
    return [f"{speed.words}, {speed.unit} {q}" for speed in results.speeds for q in ("p50 [95% CI]", "p95")]


def speed_cells(candidate: CandidateResult, results: Results) -> list[str]:
    """Speed of a candidate: the task's own figures, or the latency of one inference."""
    if results.prompt_tokens is None:
        latency = candidate.latency_ms
        times = [f.milliseconds(value) for value in (latency.p50, latency.p95, latency.p99)]
        return [*times, f.rate(candidate.throughput_per_s)]
    found = []
    for speed in results.speeds:
        own = speed_at(candidate, speed.name, results.prompt_tokens)
        assert own is not None, "all were timed at that length"
        found += [f"{f.pace(own.p50)} {f.percentiles(own.p50_ci)}", f.pace(own.p95)]
    return found


def speeds_in_words(chosen: CandidateResult, results: Results) -> list[str]:
    """The same in a few words."""
    if results.prompt_tokens is None:
        latency = chosen.latency_ms
        return [f"p50 {f.milliseconds(latency.p50)} ms", f"p95 {f.milliseconds(latency.p95)} ms"]
    found = [speed_at(chosen, speed.name, results.prompt_tokens) for speed in results.speeds]
    words = [f"{speed.words} {f.pace(speed.p50)} {speed.unit}" for speed in found if speed is not None]
    return [*words[:-1], f"{words[-1]} with prompts of {results.prompt_tokens} tokens"]


def by_prompt(results: Results) -> list[str]:
    """Speed by prompt length."""
    rows = [
        [
            candidate.id,
            f.count(prompt.tokens),
            *(
                cell
                for own in prompt.speeds
                for cell in (f"{f.pace(own.p50)} {f.percentiles(own.p50_ci)}", f"{f.pace(own.p95)}")
            ),
            f.count(prompt.speeds[0].runs),
        ]
        for candidate in results.measured
        for prompt in candidate.prompts
    ]
    if not rows:
        return []
    speeds = [name for speed in results.speeds for name in (f"{speed.words}, {speed.unit}, p50 [95% CI]", "p95")]
    rendered = table(["candidate", "prompt, tokens", *speeds, "runs"], rows, text_columns=(0,))
    left = [
        f"{candidate.id} at {f.plain(candidate.prompts_too_long)}"
        for candidate in results.measured
        if candidate.prompts_too_long
    ]
    note = f"\n\nNot timed, since beyond the model's context: {escape('; '.join(left))}." if left else ""
    return [f"### By prompt length\n\n{rendered}{note}"]
