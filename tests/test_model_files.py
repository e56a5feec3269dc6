from __future__ import annotations

import pytest

from edgedistill.model_files import bucket_name, buckets_up_to


@pytest.mark.parametrize(
    ("longest", "expected"), [(48, (16, 32, 48)), (32, (16, 32)), (8, (8,)), (200, (16, 32, 64, 128, 200))]
)
def test_buckets_end_with_the_longest_input(longest, expected):
    assert buckets_up_to(longest, (16, 32, 64, 128)) == expected


def test_a_bucket_is_named_before_the_suffix():
    assert bucket_name("model_int8.tflite", 32) == "model_int8-32.tflite"
    assert bucket_name("model.onnx", None) == "model.onnx"
