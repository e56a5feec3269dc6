"""Estimates in a plan: from the cache, and without loading anything."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from helpers import quickstart_rows
from transformers import AutoTokenizer

from edgedistill import api
from edgedistill.contracts.file_kind import FileKind
from edgedistill.measuring import encoder_times
from edgedistill.measuring.encoder_times import LayerShape, LayerTimes, Times, setups
from edgedistill.planning.candidate_estimates import lengths_of
from edgedistill.recipe import reading

LAYERS = (LayerShape("electra", 128, 256, 4, 32), LayerShape("electra", 64, 128, 2, 32))
KINDS = [FileKind("onnx", precision) for precision in ("fp32", "fp16", "int8-dynamic")]
TIMES = LayerTimes(Times(1.0, 1.5), Times(1.25, 1.875))


@pytest.fixture(autouse=True)
def own_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_lengths_are_those_of_the_test_set_in_the_teachers_tokens():
    recipe = reading.load("quickstart")
    tokenizer = AutoTokenizer.from_pretrained(recipe.teacher.model)
    counted = [len(tokenizer(row["text"])["input_ids"]) for row in quickstart_rows("test")]
    found = lengths_of(recipe)
    assert (found.p50, found.p95) == (np.percentile(counted, 50), round(float(np.percentile(counted, 95))))
    assert found.origin == "the test set"


@pytest.mark.parametrize(
    ("overrides", "length", "origin"),
    [
        (["measure.lengths=20"], 20, "measure.lengths"),
        (["data.test.split=train[:50%]"], 32, "data.max_length"),
        (["data.test.split=train[:50%]", "data.max_length=24"], 24, "data.max_length"),
    ],
)
def test_other_lengths(overrides, length, origin):
    found = lengths_of(reading.load("quickstart", overrides))
    assert (found.p50, found.p95, found.origin) == (length, length, origin)


def test_a_model_without_a_tokenizer_at_hand_is_timed_at_max_length(recipe_file):
    assert lengths_of(reading.load(recipe_file)).origin == "data.max_length"


def test_figures_follow_from_depth_and_length(tmp_path):
    lengths = lengths_of(reading.load("quickstart"))
    found = setups(KINDS, [(1, 1)], [lengths.p50, lengths.p95])
    encoder_times.store({(layer, setup): TIMES for layer in LAYERS for setup in found})
    estimates = {one.id: one for one in api.plan("quickstart", out=tmp_path / "run").plan.estimates}
    two, one = (estimates[f"{model}/onnx/fp32/onnxruntime"] for model in ("r1", "r2"))
    assert (two.p50_ms, two.p95_ms) == pytest.approx((1.25, 1.875))
    assert (one.p50_ms, one.p95_ms) == pytest.approx((1.0, 1.5))
    teacher = estimates["teacher/onnx/fp32/onnxruntime"]  # its embeddings are wider, and were not timed
    assert teacher.p50_ms is None
    assert "have not been timed" in teacher.without


def test_a_plan_with_times_loads_neither_torch_nor_transformers(tmp_path):
    lengths = lengths_of(reading.load("quickstart"))
    found = setups(KINDS, [(1, 1)], [lengths.p50, lengths.p95])
    encoder_times.store({(layer, setup): TIMES for layer in LAYERS for setup in found})
    api.plan("quickstart", out=tmp_path / "run")  # the shapes are in the cache now
    code = (
        "import sys, edgedistill\n"
        f"planned = edgedistill.plan('quickstart', out={str(tmp_path / 'run')!r})\n"
        "print(sum(one.p50_ms is not None for one in planned.plan.estimates))\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'onnx', 'onnxruntime'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["6", "[]"], done.stderr
