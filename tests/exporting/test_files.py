from __future__ import annotations

import pytest

from edgedistill.exporting.files import buckets_up_to, part_name


@pytest.mark.parametrize(
    ("longest", "expected"), [(48, (16, 32, 48)), (32, (16, 32)), (8, (8,)), (200, (16, 32, 64, 128, 200))]
)
def test_buckets_end_with_the_longest_input(longest, expected):
    assert buckets_up_to(longest, (16, 32, 64, 128)) == expected


def test_a_component_and_a_bucket_are_named_before_the_suffix():
    assert part_name("model_int8.tflite", None, 32) == "model_int8-32.tflite"
    assert part_name("model.onnx", None, None) == "model.onnx"
    assert part_name("model.pte", "decode", None) == "model-decode.pte"
    assert part_name("model.pte", "decode", 8) == "model-decode-8.pte"
