"""A language model's run, from its recipe to what a person sees of it."""

from __future__ import annotations

import json

import pytest
from helpers import write_jsonl, write_recipe

import edgedistill
from edgedistill.evaluation.results import load_results
from edgedistill.recipe.reading import shipped

FOLDER = shipped()["stories"].parent / "stories"
FILE = "r1/onnx/fp32/onnxruntime"


def run_in(place, student, **more):
    """A run with 24 test texts of rising length."""
    sources = {}
    for split, count in (("train", 8), ("validation", 6), ("test", 24)):
        lines = (FOLDER / f"{split}.jsonl").read_text().splitlines()[:count]
        texts = [json.loads(line)["text"][: 60 + 8 * number] for number, line in enumerate(lines)]
        sources[split] = {"path": str(write_jsonl(place / f"{split}.jsonl", [{"text": text} for text in texts]))}
    stage = {"name": "soft", "epochs": 1, "learning_rate": 1e-3, "batch_size": 8, "losses": [{"kind": "kl"}]}
    recipe = {
        "schema": "edgedistill/1",
        "name": "seen",
        "task": {"type": "text-generation", "metrics": ["bits_per_byte", "next_token_accuracy"]},
        "data": sources | {"max_length": 32},
        "teacher": {"model": str(FOLDER / "teacher")},
        "rounds": [{"id": "r1", "student": student, "stages": [stage]}],
        "control": False,
        "export": {"teacher": False},
        "measure": {"min_seconds": 0.05, "prompts": [8, 24, 9999]},
        "select": {"limits": {"tokens_per_s": 0.001}},
        **more,
    }
    edgedistill.run(write_recipe(recipe, place), out=place / "run", store=place / "store")
    return place / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_in(tmp_path_factory.mktemp("language"), {"init": "keep_layers", "layers": 2})


def test_a_student_of_fewer_tokens_is_judged_in_its_own(tmp_path):
    student = {"init": "shrink", "from": "teacher", "parameters": 150_000, "vocabulary": 400}
    results = load_results(run_in(tmp_path, student, measure={"min_seconds": 0.05, "prompts": [8]}))
    short, long = results.by_size
    assert set(short.figures) == set(long.figures) == {"teacher", "r1", "r1/onnx/fp32/onnxruntime"}
    whole = {figure.metric: figure.value for figure in results.rounds[0].figures if figure.split == "test"}
    shown = [group.figures["r1"][0] for group in results.by_size]
    assert {figure.metric for figure in shown} == {"bits_per_byte"}
    low, high = sorted(figure.value for figure in shown)
    assert low <= whole["bits_per_byte"] <= high


def test_the_file_is_timed_on_prompts_that_the_model_reads(run):
    results = load_results(run)
    found = results.candidate(FILE)
    assert [prompt.tokens for prompt in found.prompts] == [8, 24]
    assert found.prompts_too_long == (9999,)
    assert results.prompt_tokens == 24
    for prompt in found.prompts:
        first, rest = prompt.speeds
        assert (first.name, rest.name) == ("ttft_ms", "tokens_per_s")
        assert first.runs >= 59
        assert first.p50 == prompt.phases_ms["prefill"].p50
        assert rest.p50 == pytest.approx(16e3 / prompt.phases_ms["decode"].p50, rel=0.01)
        assert rest.p95 <= rest.p50
    assert set(found.phases_ms) == {"prefill", "decode"}
    assert found.within_limits
    assert 5_000 < found.tokenizer_bytes < 1_000_000


def test_every_run_of_every_length_is_kept(run):
    records = (json.loads(file.read_text()) for file in (run.parent / "store").glob("*/record.json"))
    (record,) = (entry for entry in records if "environment" in entry)
    (seen,) = record["candidates"].values()
    for prompt in seen["prompts"]:
        assert set(prompt["samples_ms"]) == {"prefill", "decode"}
        assert {len(samples) for samples in prompt["samples_ms"].values()} == {prompt["phases_ms"]["decode"]["runs"]}


def test_it_is_checked_as_a_language_model_and_reads_texts_as_its_tokenizer_does(run):
    found = load_results(run).candidate(FILE)
    assert set(found.checks) == {"greedy_tokens", "greedy_texts", "padded_tokens", "uncached_tokens"}
    assert found.checks["greedy_texts"] == 1.0
    assert (found.texts_read.by, found.texts_read.otherwise, found.texts_read.in_data) == ("tokenizer.json", 0, 0)
    assert found.texts_read.texts > 10_200


def test_teacher_round_and_file_go_on_from_the_same_beginnings_of_test(run):
    results = load_results(run)
    assert len(results.generations) == 6
    for generation in results.generations:
        assert [said.by for said in generation.said] == ["teacher", "r1", FILE]
        assert generation.said[2].text == generation.said[1].text  # fp32
        assert generation.said[2].parts_at is None
    assert any(generation.said[1].parts_at is not None for generation in results.generations)


def test_figures_by_length_are_of_teacher_round_and_file(run):
    results = load_results(run)
    short, long = results.by_size
    assert (short.examples, long.examples) == (12, 12)
    assert short.high < long.low
    for group in (short, long):
        assert set(group.figures) == {"teacher", "r1", FILE}
        assert group.figures[FILE][0].value == pytest.approx(group.figures["r1"][0].value, rel=1e-4)
        assert [figure.metric for figure in group.figures["teacher"]] == ["bits_per_byte", "next_token_accuracy"]


def test_the_report_has_all_of_it(run):
    page = (run / "report.html").read_text()
    for place in ("prompts", "checks", "generations", "by-size"):
        assert f'id="{place}"' in page
    assert "Speed with prompts of 24 tokens" in page
