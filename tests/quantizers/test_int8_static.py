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
    """By method: the ranges of all activations."""
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
    inputs[-1]["ids"][0, 0] = 0
    found = {}
    for method, quantize in QUANTIZER.methods.items():
        quantize(folder / "model.onnx", folder / f"{method}.onnx", inputs)
        found[method] = activation_ranges(folder / f"{method}.onnx")
    QUANTIZER.quantize(folder / "model.onnx", folder / "default.onnx", inputs)
    assert (folder / "default.onnx").read_bytes() == (folder / "minmax.onnx").read_bytes()
    return found


def activation_ranges(file) -> tuple[float, ...]:
    """Of all quantized activations."""
    graph = onnx.load(file).graph
    stored = {initializer.name: initializer for initializer in graph.initializer}
    scales = [node.input[1] for node in graph.node if node.op_type == "QuantizeLinear"]
    return tuple(255 * float(numpy_helper.to_array(stored[name])) for name in scales)


def test_each_method_estimates_other_ranges(ranges):
    assert len(set(ranges.values())) == 3


def test_the_plan_knows_the_methods():
    assert registry.target("onnx").precisions["int8-static"].methods == ("minmax", "percentile", "entropy")
