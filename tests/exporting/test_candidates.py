from __future__ import annotations

import pytest

from edgedistill.errors import RecipeError
from edgedistill.exporting.candidates import candidates, fp32_counterpart, makeable_candidates, runtimes_of
from edgedistill.recipe import reading


def recipe(tree, **change):
    return reading.validate(tree | change, "test")


def test_a_target_is_measured_under_its_own_runtime_unless_the_recipe_names_some(recipe_tree):
    targets = {"export": {"targets": ["onnx", "ort-mobile", "openvino"], "teacher": False}}
    own = recipe(recipe_tree, **targets)
    assert {row.target: row.runtime for row in candidates(own)} == {
        "onnx": "onnxruntime",
        "ort-mobile": "onnxruntime",
        "openvino": "openvino",
    }
    named = recipe(recipe_tree, **targets, measure={"runtimes": ["openvino", "onnxruntime"]})
    assert [runtimes_of(name, named) for name in named.export.targets] == [
        ("onnxruntime",),
        ("onnxruntime",),
        ("openvino",),
    ]


def test_a_target_that_no_named_runtime_opens_is_a_mistake(recipe_tree):
    change = {"export": {"targets": ["onnx", "openvino"]}, "measure": {"runtimes": ["onnxruntime"]}}
    with pytest.raises(RecipeError, match=r"export.targets.1: got 'openvino', which none of measure.runtimes can open"):
        recipe(recipe_tree, **change)


def test_a_precision_that_only_another_target_has_is_refused_there(recipe_tree):
    found = candidates(recipe(recipe_tree, export={"targets": ["onnx", "openvino"], "teacher": False}))
    refused = {row.id: row.refused for row in found if row.refused}
    assert refused == {
        f"{model}/openvino/int8-dynamic/openvino": "target openvino has no int8-dynamic, only fp32, fp16, int8-static"
        for model in ("r1", "r2")
    }
    assert len(makeable_candidates(found)) == len(found) - 2


def searched(**search):
    return {"name": "found", "search": {"max_drop": 0.01, **search}}


SMALL = {"name": "small", "parts": {"embeddings": "int4", "attention": "int8-dynamic"}}


def test_a_mix_takes_the_precisions_place_where_a_target_has_mixes(recipe_tree):
    change = {"quantize": [{"precision": "fp32"}, SMALL], "export": {"targets": ["onnx", "openvino"], "teacher": False}}
    found = candidates(recipe(recipe_tree, **change))
    assert {row.id: row.refused for row in found if row.precision == "small"} == {
        f"{model}/{target}/small/{runtime}": refused
        for model in ("r1", "r2")
        for target, runtime, refused in (
            ("onnx", "onnxruntime", None),
            ("openvino", "openvino", "target openvino has no mixes by part, only fp32, fp16, int8-static"),
        )
    }


def test_a_language_model_has_no_mixes():
    with pytest.raises(RecipeError, match=r"quantize.0.parts: .* expected a 'precision': int4, int4-tables or int8"):
        reading.load("stories", ["quantize=[{name: small, parts: {embeddings: int4}}]"])


def test_a_calibration_method_is_refused_where_the_target_has_its_own(recipe_tree):
    change = {"quantize": [{"precision": "int8-static", "calibration": {"method": "entropy"}}]}
    found = candidates(recipe(recipe_tree, export={"targets": ["onnx", "openvino"], "teacher": False}, **change))
    assert {row.target: row.refused for row in found} == {
        "onnx": None,
        "openvino": "target openvino calibrates in its own way, not by entropy; expected no calibration.method for it",
    }


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"quantize": [{"precision": "fp32"}] * 2}, "quantize.1.precision: got 'fp32' twice"),
        ({"export": {"targets": ["onnx", "onnx"]}}, "export.targets.1: got 'onnx' twice"),
        ({"export": {"buckets": [32, 16]}}, "expected 'buckets' in ascending order, got [32, 16]"),
        ({"quantize": [SMALL, SMALL]}, "quantize.1.name: got 'small' twice"),
        (
            {"quantize": [SMALL | {"precision": "int8"}]},
            "quantize.0: expected either 'precision', or 'name' and 'parts'",
        ),
        ({"quantize": [{"name": "small"}]}, "quantize.0: expected either 'precision', or 'name' and 'parts'"),
        ({"quantize": [{"parts": {"head": "int8"}}]}, "quantize.0: expected 'name' and 'parts' or 'search' together"),
        ({"quantize": [{"search": {"max_drop": 0.1}}]}, "quantize.0: expected 'name' and 'parts' or 'search' together"),
        (
            {"quantize": [SMALL | {"search": {"max_drop": 0.1}}]},
            "quantize.0: expected either 'parts' or 'search': a mix is given or searched",
        ),
        ({"quantize": [searched(max_drop=-0.1)]}, "quantize.0.search.max_drop"),
        (
            {"quantize": [searched(precisions=["int4"])]},
            "quantize.0.search: expected 'precisions' with at least two different ones",
        ),
        (
            {"quantize": [searched(precisions=["int4", "int4", "fp32"])]},
            "quantize.0.search: expected 'precisions' with at least two different ones",
        ),
        (
            {"quantize": [searched(prefer="latency", precisions=["int4", "int8-dynamic", "fp32"])]},
            "quantize.0.search: expected 'precisions' with fp32 and one other for 'prefer: latency'",
        ),
        (
            {"quantize": [searched(prefer="latency") | {"block": 64}]},
            "quantize.0: got 'block', but none of the precisions is in blocks",
        ),
        ({"quantize": [{"precision": "int4", "block": 64}]}, "quantize.0: expected 'block' only with 'parts'"),
        ({"quantize": [{"name": "small", "parts": {}}]}, "expected a precision below fp32 for one of the 'parts'"),
        (
            {"quantize": [{"name": "small", "parts": {"head": "int8-dynamic"}, "block": 64}]},
            "quantize.0: got 'block', but none of the precisions is in blocks",
        ),
        (
            {"quantize": [SMALL | {"calibration": {}}]},
            "quantize.0: expected no 'calibration': it is for parts in int8-static, and there are none",
        ),
        *(
            ({"quantize": [asked]}, f"{place}: got 'int3', but ONNX Runtime multiplies weights of 2, 4 and 8 bits")
            for asked, place in (
                ({"precision": "int3"}, "quantize.0.precision"),
                ({"name": "small", "parts": {"attention": "int3"}}, "quantize.0.parts.attention"),
                (searched(precisions=["int3", "fp32"]), "quantize.0.search.precisions"),
            )
        ),
        ({"quantize": [SMALL | {"name": "int8"}]}, "quantize.0.name: got 'int8', which is a precision"),
        (
            {"quantize": [{"precision": "fp16", "calibration": {"take": 8}}]},
            "quantize.0.calibration: 'fp16' needs no calibration data, expected none",
        ),
    ],
)
def test_what_makes_no_sense_gets_a_sentence(recipe_tree, change, expected):
    with pytest.raises(RecipeError) as caught:
        recipe(recipe_tree, **change)
    assert expected in str(caught.value)


def test_calibrating_on_unlabeled_data_needs_some(recipe_tree):
    del recipe_tree["data"]["unlabeled"]
    recipe_tree["rounds"][0]["stages"][0]["data"] = ["train"]
    change = {"quantize": [{"precision": "int8-static", "calibration": {"from": "unlabeled"}}]}
    with pytest.raises(
        RecipeError, match=r"quantize.0.calibration.from: got 'unlabeled', but 'data.unlabeled' is not given"
    ):
        recipe(recipe_tree, **change)


def test_the_fp32_counterpart_differs_in_the_precision_alone(recipe_tree):
    change = {"measure": {"threads": [1, 2], "batch": [1, 4]}, "export": {"targets": ["onnx", "ort-mobile"]}}
    rows = candidates(recipe(recipe_tree, **change))
    quantized = [row for row in rows if row.precision == "int8-dynamic"]
    assert len(quantized) > 8
    for row in quantized:
        found = fp32_counterpart(row, rows)
        assert found is not None
        assert found.id == row.id.replace("int8-dynamic", "fp32")
        assert fp32_counterpart(found, rows) is None
        assert fp32_counterpart(row, quantized) is None
