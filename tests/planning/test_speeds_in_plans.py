"""What a recipe asks of prompts and their figures: for a language model, and refused where the task has none."""

from __future__ import annotations

import pytest
from helpers import write_jsonl, write_recipe

import edgedistill
from edgedistill.errors import UserError
from edgedistill.recipe.reading import shipped

TEACHER = shipped()["stories"].parent / "stories" / "teacher"


@pytest.fixture
def planned(tmp_path):
    data = write_jsonl(tmp_path / "texts.jsonl", [{"text": "Once upon a time"}])
    recipe = {
        "schema": "edgedistill/1",
        "name": "prompts",
        "task": {"type": "text-generation", "metric": "bits_per_byte"},
        "data": {split: {"path": str(data)} for split in ("train", "validation", "test")} | {"max_length": 32},
        "teacher": {"model": str(TEACHER)},
        "rounds": [
            {
                "id": "r1",
                "student": {"init": "keep_layers", "layers": 1},
                "stages": [{"name": "soft", "losses": [{"kind": "kl"}]}],
            }
        ],
        "export": {"teacher": False},
    }
    file = write_recipe(recipe, tmp_path)
    return lambda *changes: edgedistill.plan(file, list(changes), out=tmp_path / "run").plan


def keys(plan):
    return {step.name: step.key for step in plan.steps}


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ("measure.prompts=[16, 64]", {"measure", "choose", "report", "bundle"}),
        ("select.limits.ttft_ms=50", {"choose", "report", "bundle"}),
        ("select.limits.tokens_per_s=50", {"choose", "report", "bundle"}),
        ("select.prefer=tokens_per_s", {"choose", "report", "bundle"}),
        ("select.prefer=peak_rss_mb", {"choose", "report", "bundle"}),
    ],
)
def test_only_what_looks_at_it_is_done_again(planned, change, redone):
    before, after = keys(planned()), keys(planned(change))
    assert {name for name in before if before[name] != after[name]} == redone


def test_lengths_rise(planned):
    with pytest.raises(UserError, match=r"measure.prompts: got \[64, 16\], expected lengths in ascending order"):
        planned("measure.prompts=[64, 16]")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("select.limits.ttft_ms=50", "select.limits.ttft_ms: got 50, but 'text-classification' has no such figure"),
        ("select.limits.tokens_per_s=9", "select.limits.tokens_per_s: got 9, but 'text-classification' has no such"),
        ("select.prefer=ttft_ms", "select.prefer: got 'ttft_ms', but 'text-classification' has no such figure"),
        ("measure.prompts=[16]", r"measure.prompts: got \[16\], but 'text-classification' is not timed on prompts"),
    ],
)
def test_a_task_without_such_figures_is_refused_them(tmp_path, change, sentence):
    with pytest.raises(UserError, match=sentence):
        edgedistill.plan("quickstart", [change], out=tmp_path)
