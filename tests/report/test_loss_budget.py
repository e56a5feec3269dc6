"""The loss budget: the files on the way, and how its hops are told."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from edgedistill.evaluation.results import Results
from edgedistill.exporting.candidates import Candidate
from edgedistill.recipe.deployment_spec import SelectSpec
from edgedistill.report.budget_plot import waterfall
from edgedistill.report.html import render_html
from edgedistill.report.loss_budget import TEXTS, files_on_the_way
from edgedistill.report.markdown import render_markdown


def row(precision: str, runtime: str = "main") -> Candidate:
    name = f"r1/t/{precision}/{runtime}"
    return Candidate(id=name, model="r1", target="t", precision=precision, runtime=runtime, threads=1, batch=1)


@pytest.mark.parametrize(
    ("chosen", "others", "expected"),
    [
        (row("fp32"), [], [("export", "fp32/main")]),
        (row("int8"), [row("fp32")], [("export", "fp32/main"), ("precision", "int8/main")]),
        (row("int8"), [row("fp16")], [("export and precision", "int8/main")]),
        (
            row("int8", "web"),
            [row("fp32"), row("int8"), row("fp32", "web")],
            [("export", "fp32/main"), ("precision", "int8/main"), ("runtime", "int8/web")],
        ),
        (row("fp32", "web"), [row("fp32")], [("export", "fp32/main"), ("runtime", "fp32/web")]),
        (
            row("int8", "web"),
            [row("fp32"), row("fp32", "web")],
            [("export", "fp32/web"), ("precision", "int8/web")],
        ),
    ],
)
def test_the_files_between_a_model_and_its_candidate(chosen, others, expected):
    found = files_on_the_way(chosen, [chosen, *others], "main")
    assert [(kind, "/".join(other.verify_key[2:])) for kind, other in found] == expected


def test_a_runs_hops_lead_from_the_teacher_to_the_chosen_file_and_add_up(finished_run):
    results = finished_run.results
    budget = results.loss_budget
    assert budget is not None
    assert results.chosen == budget.candidate
    chosen = results.candidate(budget.candidate)
    rounds = [round_.id for round_ in results.rounds][: 1 if chosen.model == "r1" else 2]
    assert [hop.after for hop in budget.hops[: len(rounds)]] == rounds
    assert [hop.before for hop in budget.hops] == ["teacher", *(hop.after for hop in budget.hops[:-1])]
    assert budget.hops[-1].after == chosen.id
    assert budget.start.value == results.teacher.test.value
    assert budget.hops[-1].figure.value == chosen.test.value
    assert sum(hop.drop.value for hop in budget.hops) == pytest.approx(budget.drop.value)
    for hop in budget.hops:
        assert hop.lost is not None
        assert hop.won is not None
        examples = hop.figure.examples
        assert hop.drop.value * examples == pytest.approx(hop.lost - hop.won)
        assert len(hop.lost_texts) == min(hop.lost, TEXTS)
        assert len(hop.won_texts) == min(hop.won, TEXTS)
        assert all(flip.before == flip.reference != flip.after for flip in hop.lost_texts)
        assert all(flip.before != flip.reference == flip.after for flip in hop.won_texts)


def hop(kind: str, before: str, after: str, was: float, value: float, **changed: object) -> dict[str, object]:
    figure = {"metric": "accuracy", "direction": "higher", "value": value, "low": value, "high": value, "split": "test"}
    drop = was - value
    ends = {"value": drop, "low": drop - 0.01, "high": drop + 0.01, "p": 0.5, "split": "test"}
    facts = {"kind": kind, "before": before, "after": after, "figure": figure, "drop": ends}
    return {**facts, "agreement": 0.98, "lost": 3, "won": 1, **changed}


@pytest.fixture
def budgeted(facts) -> dict[str, object]:
    fp32, int8 = "r1/onnx/fp32/onnxruntime", "r1/onnx/int8-dynamic/onnxruntime"
    flip = {"text": "a|<b>", "reference": "weather", "before": "weather", "after": "play_music"}
    hops = [
        hop("round", "teacher", "r1", 0.95, 0.93, lost_texts=[flip]),
        hop("export", "r1", fp32, 0.93, 0.93, lost=0, won=0, agreement=1.0),
        hop("precision", fp32, int8, 0.93, 0.9, agreement=None, lost=None, won=None),
    ]
    whole = {"value": 0.05, "low": 0.03, "high": 0.07, "p": 0.01, "split": "test"}
    budget = {"candidate": int8, "start": facts["teacher"]["figures"][0], "hops": hops, "drop": whole}
    return facts | {"loss_budget": budget}


def words(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(element.itertext()).strip() for element in root.iter() if element.tag.endswith("text")]


def test_the_table_has_every_hop_and_the_whole(budgeted):
    text = render_markdown(Results.model_validate(budgeted))
    section = text[text.index("## Where it was lost: teacher to `r1/onnx/int8-dynamic/onnxruntime`") :]
    assert "| teacher | r1 | round | 0.9300 | +0.0200 [+0.0100, +0.0300] | 0.9800 | 3 | 1 |" in section
    assert "| precision | 0.9000 | +0.0300 [+0.0200, +0.0400] | – | – | – |" in section
    assert "| all | 0.9000 | +0.0500 [+0.0300, +0.0700] | – | – | – |" in section
    assert "| r1 | right → wrong | a\\|&lt;b> | weather | weather | play_music |" in section


def test_the_page_has_the_waterfall_the_table_and_the_texts(budgeted, training):
    page = render_html(Results.model_validate(budgeted), training, SelectSpec())
    section = page[page.index('id="loss-budget"') :]
    section = section[: section.index("</section>")]
    assert section.index("<svg") < section.index("<table>") < section.index("a|&lt;b&gt;")
    assert section.count("<details>") == 1
    assert "+0.0500 [+0.0300, +0.0700]" in section


def test_the_waterfall_names_each_hop_with_its_change(budgeted):
    found = words(waterfall(Results.model_validate(budgeted)))
    assert {"teacher", "r1", "export", "onnx fp32", "int8-dynamic", "the file"} <= set(found)
    assert {"0.9500", "0.9000", "−0.0200", "+0.0000", "−0.0300"} <= set(found)


def test_where_lower_is_better_a_loss_is_a_rise(budgeted):
    budget = budgeted["loss_budget"]
    assert isinstance(budget, dict)
    for part in (budget["start"], *(hop["figure"] for hop in budget["hops"])):
        part |= {"metric": "loss", "direction": "lower", "value": 1 - part["value"]}
    results = Results.model_validate(budgeted | {"metric": "loss", "direction": "lower"})
    found = words(waterfall(results))
    assert {"0.0500", "0.1000", "+0.0200", "+0.0300"} <= set(found)
    assert "| from | to | by | loss (lower is better) | rise [95% CI] |" in render_markdown(results)


def test_older_results_have_no_budget(results, training):
    assert waterfall(results) == ""
    assert "Where it was lost" not in render_markdown(results)
    assert 'id="loss-budget"' not in render_html(results, training, SelectSpec())
