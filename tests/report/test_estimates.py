"""The plan's estimates beside what was measured, in both reports."""

from __future__ import annotations

import json

from edgedistill.evaluation.results import Results
from edgedistill.exporting.estimates import CandidateEstimate
from edgedistill.recipe.deployment_spec import Limits, SelectSpec
from edgedistill.report.estimates import compared
from edgedistill.report.html import render_html
from edgedistill.report.markdown import render_markdown

ESTIMATES = (
    CandidateEstimate(id="r1/onnx/fp32/onnxruntime", file_bytes=3_960_000, p50_ms=2.0, p95_ms=6.0),
    CandidateEstimate(id="r1/onnx/int8-dynamic/onnxruntime", file_bytes=1_500_000, without="not timed"),
    CandidateEstimate(id="r9/onnx/fp32/onnxruntime", file_bytes=1),
)


def with_estimates(facts) -> Results:
    found = compared(ESTIMATES, Results.model_validate(facts).candidates)
    assert found is not None
    return Results.model_validate({**facts, "estimates": found.model_dump(mode="json")})


def test_each_measured_candidate_has_its_own(facts):
    found = with_estimates(facts).estimates
    assert [one.id for one in found.candidates] == [one.id for one in ESTIMATES[:2]]
    first, second = found.candidates
    assert (first.p50_ms.estimated, first.p50_ms.measured, first.p50_ms.ratio) == (2.0, 4.0, 2.0)
    assert first.file_bytes.measured == 4_000_000
    assert second.p50_ms is None
    assert second.file_bytes.error == 0
    assert (found.p50_error, found.file_error) == (0.5, 0.005)


def test_both_reports_show_them(facts, training):
    results = with_estimates(facts)
    text, page = render_markdown(results), render_html(results, training, SelectSpec())
    summary = "Median error of the plan's estimates: file size 0.5%, p50 50%, p95 25%."
    assert f"## Estimates\n\n{summary}" in text
    assert summary.replace("'", "&#39;") in page
    assert "| r1/onnx/fp32/onnxruntime | 2.000 | 4.000 | 2.00 | 6.000 | 4.800 | 0.80 | 3.960 | 4.000 | 1.01 |" in text
    assert "| r1/onnx/int8-dynamic/onnxruntime | – | – | – | – | – | – | 1.500 | 1.500 | 1.00 |" in text
    section = page[page.index('<section id="estimates">') : page.index('<section id="rounds">')]
    assert section.count("<tr>") == 3
    assert "<td>r1/onnx/int8-dynamic/onnxruntime</td>" in section


def test_a_plan_without_estimates_has_no_section(results, training):
    assert "Estimates" not in render_markdown(results)
    assert 'id="estimates"' not in render_html(results, training, SelectSpec())
    assert compared((), results.candidates) is None


def test_a_finished_run_compares_the_sizes_of_its_plan(finished_run):
    found = finished_run.results.estimates
    assert [one.id for one in found.candidates] == [one.id for one in finished_run.results.measured]
    assert found.file_error < 0.02
    content = json.loads((finished_run.folder / "results.json").read_text())
    assert content["estimates"]["candidates"][0]["file_bytes"]["measured"] == content["candidates"][0]["file_bytes"]
    assert "## Estimates" in (finished_run.folder / "report.md").read_text()


def test_limits_that_an_estimate_exceeds():
    one = CandidateEstimate(id="a", file_bytes=3_000_000, p50_ms=1.0, p95_ms=40.0)
    assert one.exceeded(Limits(file_mb=3, p95_ms=50)) == ()
    assert one.exceeded(Limits(file_mb=2, p95_ms=2)) == (
        "file 3 MB, 1.50 times select.limits.file_mb (2)",
        "p95 40 ms, 20 times select.limits.p95_ms (2)",
    )
    assert one.excess(Limits(file_mb=2, p95_ms=50)) == 0.5
    assert one.meets(Limits(file_mb=3))
    unknown = CandidateEstimate(id="a", file_bytes=3_000_000, without="not timed")
    assert not unknown.meets(Limits(p95_ms=50))
    assert unknown.exceeded(Limits(p95_ms=50)) == ()
    assert unknown.meets(Limits(file_mb=3))
