"""A decoder cut in depth, width and vocabulary at once."""

from __future__ import annotations

import pytest
import torch
from helpers import write_jsonl
from tiny_decoders import request, saved, tiny

from edgedistill.contracts import registry
from edgedistill.errors import UserError
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.students.shrink import ShrinkSpec

TEACHER = reading.shipped()["stories"].parent / "stories" / "teacher"
KEPT = [0, 1, 2, 7, 9, 30, 49]


def built(source, parameters: float, kept: list[int]):
    from dataclasses import replace

    asked = request(source, init="shrink", parameters=parameters, vocabulary=len(kept))
    asked = replace(asked, kept_tokens=kept, probe=[])
    return registry.student("shrink").build(asked).eval()


def test_where_nothing_but_tokens_goes_the_kept_ones_keep_their_logits(tmp_path):
    teacher = tiny("smollm")
    count = teacher.num_parameters() - (50 - len(KEPT)) * 48
    student = built(saved(teacher, tmp_path), count, KEPT)
    assert student.config.vocab_size == len(KEPT)
    assert student.num_parameters() == count
    with torch.no_grad():
        own = student(input_ids=torch.tensor([[1, 3, 5, 4]])).logits
        whole = teacher(input_ids=torch.tensor([[KEPT[1], KEPT[3], KEPT[5], KEPT[4]]])).logits
    torch.testing.assert_close(own, whole[..., KEPT], rtol=0, atol=1e-5)


def test_it_is_as_large_as_planned_with_its_tokens(tmp_path):
    teacher = tiny("qwen3")
    spec = ShrinkSpec(init="shrink", parameters=30_000, vocabulary=len(KEPT))
    module = registry.student("shrink")
    config = module.planned(spec, teacher.config, request(tmp_path, init="shrink", parameters=3e4).auto_class).config
    assert config.vocab_size == len(KEPT)
    with pytest.raises(UserError, match="vocabulary: got 51, expected at most the source's 50"):
        module.planned(spec.model_copy(update={"vocabulary": 51}), teacher.config, None)


def test_students_of_other_shapes_read_the_same_data(tmp_path):
    for split in ("train", "validation", "test"):
        write_jsonl(tmp_path / f"{split}.jsonl", [{"text": "Once upon a time there was a dog."}] * 4)
    stage = {"name": "s", "losses": [{"kind": "hard_label"}]}
    students = [
        {"init": "shrink", "parameters": 5e4, "vocabulary": 400},
        {"init": "shrink", "parameters": 3e4, "vocabulary": 400},
        {"init": "shrink", "parameters": 3e4, "vocabulary": 300},
        {"init": "shrink", "from": "r1", "parameters": 2e4},
    ]
    tree = {
        "schema": "edgedistill/1",
        "name": "trimmed",
        "task": {"type": "text-generation", "metric": "bits_per_byte"},
        "data": {split: {"path": str(tmp_path / f"{split}.jsonl")} for split in ("train", "validation", "test")},
        "teacher": {"model": str(TEACHER)},
        "rounds": [{"id": f"r{i}", "student": student, "stages": [stage]} for i, student in enumerate(students, 1)],
        "control": False,
    }
    recipe = reading.validate(tree, "test")
    plan = make_plan(recipe, fingerprints.look_up(recipe))
    data = {name: inputs.base.step for name, inputs in plan.outputs.data.items()}
    assert data == {"teacher": "data", "r1": "data-r1", "r2": "data-r1", "r3": "data-r3", "r4": "data-r1"}
