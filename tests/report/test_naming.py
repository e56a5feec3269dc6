"""Short names: what tells candidates apart, and no more."""

from __future__ import annotations

from collections.abc import Mapping

from edgedistill.evaluation.results import Results
from edgedistill.report.naming import short_names


def named(facts, *changes: Mapping[str, object]) -> list[str]:
    rows = [{**facts["candidates"][1], **change, "id": str(i)} for i, change in enumerate(changes)]
    return list(short_names(Results.model_validate({**facts, "candidates": rows}).measured).values())


def test_round_and_precision_are_enough_where_all_else_is_equal(facts):
    assert named(facts, {"precision": "fp32"}, {"precision": "int8-dynamic"}) == ["r1 fp32", "r1 int8"]


def test_a_precision_is_whole_where_its_stem_is_not_enough(facts):
    found = named(facts, {"precision": "int8-static"}, {"precision": "int8-dynamic"})
    assert found == ["r1 int8-static", "r1 int8-dynamic"]


def test_the_target_tells_its_one_runtime_and_only_a_target_of_several_names_them(facts):
    litert = {"target": "litert", "runtime": "litert"}
    assert named(facts, {}, litert) == ["r1 fp32 onnx", "r1 fp32 litert"]
    found = named(facts, {}, {"runtime": "browser"}, litert)
    assert found == ["r1 fp32 onnx onnxruntime", "r1 fp32 onnx browser", "r1 fp32 litert"]


def test_threads_and_batch_where_they_differ(facts):
    assert named(facts, {"threads": 2}, {"batch": 8}) == ["r1 fp32 2t b1", "r1 fp32 1t b8"]
