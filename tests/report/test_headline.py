"""The line on the chosen candidate."""

from __future__ import annotations

from edgedistill.evaluation.results import Results
from edgedistill.recipe.deployment_spec import SelectSpec
from edgedistill.report.headline import ship_line
from edgedistill.report.html import render_html
from edgedistill.report.markdown import render_markdown


def with_validation(facts, value):
    facts["candidates"][1]["figures"][2]["value"] = value
    return Results.model_validate(facts)


def test_the_figure_on_test_comes_first_and_the_choice_names_its_rivals(facts, training):
    results = with_validation(facts, 0.9412)
    assert ship_line(results) == (
        "r1/onnx/fp32/onnxruntime: accuracy 0.9300 [0.9100, 0.9500] on test "
        "(0.9412 on validation, where 3 candidates were compared), p50 4.00 ms, p95 4.80 ms, 4.00 MB"
    )
    told = "0.9300 [0.9100, 0.9500] on test (0.9412 on validation, where 3 candidates were compared)"
    assert told in render_markdown(results)
    page = render_html(results, training, SelectSpec())
    verdict = page[page.index('id="verdict"') : page.index('id="plot"')]
    assert "0.9412 on validation, where 3 candidates were compared" in verdict


def test_a_single_candidate_had_no_rivals(facts):
    facts["candidates"] = facts["candidates"][1:2]
    assert "where 1 candidate was compared" in str(ship_line(Results.model_validate(facts)))


def test_nothing_chosen(facts):
    assert ship_line(Results.model_validate(facts | {"chosen": None})) is None
