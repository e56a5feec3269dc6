"""Calibration methods, on inputs of which a few are far larger than all others."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx_graphs import WORDS, encoder

from edgedistill.contracts import registry

QUANTIZER = registry.quantizer("int8-static")


@pytest.fixture(scope="module")
def ranges(tmp_path_factory):
    """By method: the largest range of an activation."""
    folder = tmp_path_factory.mktemp("static")
    model = encoder()
    words = next(initializer for initializer in model.graph.initializer if initializer.name == "words")
    table = numpy_helper.to_array(words).copy()
    table[0] *= 30
    words.CopyFrom(numpy_helper.from_array(table, "words"))
    onnx.save(model, folder / "model.onnx")
    random = np.random.default_rng(0)
    # Texts of different lengths; the word with the large vector occurs once.
    inputs = [{"ids": random.integers(1, WORDS, (1, length))} for length in random.integers(3, 12, 60)]
    inputs[0]["ids"][0, 0] = 0
    found = {}
    for method, quantize in QUANTIZER.methods.items():
        quantize(folder / "model.onnx", folder / f"{method}.onnx", inputs)
        found[method] = activation_range(folder / f"{method}.onnx")
    QUANTIZER.quantize(folder / "model.onnx", folder / "default.onnx", inputs)
    assert (folder / "default.onnx").read_bytes() == (folder / "minmax.onnx").read_bytes()
    return found


def activation_range(file) -> float:
    """Of the value that is looked up."""
    graph = onnx.load(file).graph
    stored = {initializer.name: initializer for initializer in graph.initializer}
    looked_up = next(node for node in graph.node if node.op_type == "QuantizeLinear" and "shifted" in node.input[0])
    return 255 * float(numpy_helper.to_array(stored[looked_up.input[1]]))


def test_each_method_estimates_other_ranges(ranges):
    """So few values have no 99.999th percentile below their largest, but its histogram is symmetric."""
    assert 0 < ranges["entropy"] < 0.9 * ranges["minmax"]
    assert ranges["percentile"] not in (ranges["minmax"], ranges["entropy"])


def test_the_plan_knows_the_methods():
    assert registry.target("onnx").precisions["int8-static"].methods == ("minmax", "percentile", "entropy")
