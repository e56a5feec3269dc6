"""Continuations side by side: who is held against whom, and where they part."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgedistill.exporting.candidates import Candidate
from edgedistill.report.generations import generations, parts_at
from edgedistill.store.records.samples import Sample


@pytest.mark.parametrize(
    ("one", "other", "place"),
    [("abc", "abc", None), ("abc", "abd", 2), ("abc", "ab", 2), ("", "x", 0), ("same", "shame", 1)],
)
def test_where_two_texts_part(one, other, place):
    assert parts_at(one, other) == parts_at(other, one) == place


def row(model, precision, threads=1):
    return Candidate(
        id=f"{model}/{precision}/{threads}",
        model=model,
        target="onnx",
        precision=precision,
        runtime="onnxruntime",
        threads=threads,
        batch=1,
    )


def files(**change):
    torch = {"teacher": "a cat sat", "r1": "a cat ran", "r2": "a dog ran"}
    rows = [row("r1", "fp32"), row("r1", "fp32", 4), row("r2", "int8"), row("r2", "broken")]
    said = {"r1/onnx/fp32/onnxruntime": "a cat ran", "r2/onnx/int8/onnxruntime": "a dog sat"}
    rounds = [
        SimpleNamespace(id="r1", data=None, teachers=lambda: ("teacher",)),
        SimpleNamespace(id="r2", data=None, teachers=lambda: ("teacher", "r1")),
    ]

    def sample(text):
        return (Sample(text=text, tokens=(1,)),)

    def file_samples(candidate):
        name = "/".join(candidate.verify_key)
        return sample(said[name]) if name in said else ()

    facts = {
        "beginnings": ("Once",),
        "rounds_on_recipe_data": ("r1", "r2"),
        "samples": lambda name: sample(torch[name]),
        "file_samples": file_samples,
        "teacher_choice": lambda name: (("r1",), ()) if name == "r2" else None,
        "settings": SimpleNamespace(rounds=rounds, candidates=rows),
    }
    return SimpleNamespace(**(facts | change))


def test_a_round_is_held_against_its_teacher_and_a_file_against_its_torch_model():
    (found,) = generations(files())
    assert found.prompt == "Once"
    assert [(sample.by, sample.text, sample.beside, sample.parts_at) for sample in found.said] == [
        ("teacher", "a cat sat", None, None),
        ("r1", "a cat ran", "teacher", 6),
        ("r2", "a dog ran", "r1", 2),  # chosen by a trial
        ("r1/onnx/fp32/onnxruntime", "a cat ran", "r1", None),  # once, whatever the threads
        ("r2/onnx/int8/onnxruntime", "a dog sat", "r2", 6),
    ]


def test_a_task_whose_models_go_on_from_nothing_has_none():
    assert generations(files(beginnings=(), samples=lambda name: (), file_samples=lambda candidate: ())) == ()
