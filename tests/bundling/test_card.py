from __future__ import annotations

from edgedistill.bundling.card import CardFacts, render_card
from edgedistill.store.provenance import Provenance


def card(finished_run, name, **values):
    facts = {
        "results": finished_run.results,
        "row": finished_run.results.candidate(name),
        "task": "text-classification",
        "labels": ["a", "b", "c"],
        "columns": ("text",),
        "max_length": 32,
        "provenance": (
            Provenance(role="teacher", name="big-bert", licence="Apache-2.0", found_in="README.md"),
            Provenance(role="train", name=None, licence=None, found_in=None),
        ),
        "golden": 32,
    }
    return render_card(CardFacts(**(facts | values)))


def test_it_says_where_the_model_comes_from_and_how_good_it_is(finished_run):
    name = "r2/onnx/int8-dynamic/onnxruntime"
    row, results = finished_run.results.candidate(name), finished_run.results
    text = card(finished_run, name)
    assert "Teacher: big-bert." in text
    assert "Round r1: a `keep_layers` student" in text
    assert "distilled from teacher + r1" in text
    low, high = row.test.interval
    assert f"| **this file** | | {row.test.value:.4f} [{low:.4f}, {high:.4f}] |" in text
    assert f"This file has {row.validation.value:.4f} on validation, where 4 candidates were compared" in text
    assert f"the same answers as its PyTorch model on {row.agreement_with_student:.2%}" in text
    assert results.hosts[row.host].cpu in text
    assert results.warnings[0] in text if results.warnings else True


def test_a_candidate_of_an_earlier_round_names_no_later_one(finished_run):
    assert "Round r2" not in card(finished_run, "r1/onnx/fp32/onnxruntime")


def test_licences_are_named_and_what_is_unknown_is_said(finished_run):
    text = card(finished_run, "r1/onnx/fp32/onnxruntime")
    assert "| teacher | big-bert | Apache-2.0 | README.md |" in text
    assert "| train | local files | unknown |  |" in text


def test_a_task_without_tokens_has_no_length(finished_run):
    text = card(finished_run, "r1/onnx/fp32/onnxruntime", columns=("image",), max_length=None)
    assert "| input | image |" in text
    assert "tokens of a text" not in text


def test_a_task_without_labels_claims_none(finished_run):
    text = card(finished_run, "r1/onnx/fp32/onnxruntime", labels=[], columns=("first", "second"))
    assert "labels" not in text.split("## Lineage")[0]
    assert "out-of-scope class" not in text
    assert "| input | first, second, truncated to 32 tokens |" in text
    assert "Only the first 32 tokens" in text
