"""How a file's products are computed, read from graphs of every form that the quantizers write."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedistill.contracts import registry
from edgedistill.exporting.onnx_arithmetic import TOKENS, read_arithmetic

ACTIVATIONS = "MatMul of activations"


def written(folder, nodes: Sequence[onnx.NodeProto], weights: dict[str, np.ndarray], out: Sequence[str | int]):
    """A file with the input `x` (batch, length, 8) and the output `y`."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "length", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(out))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    file = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), file)
    return file


def test_work_is_weighted_by_how_often_a_weight_is_applied(tmp_path):
    """A product of each token in integers, and one of the whole text in float."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "w", "zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers", "axis"], ["text"], keepdims=0),
        helper.make_node("Gemm", ["text", "head"], ["y"]),
    ]
    weights: dict[str, np.ndarray] = {
        "w": np.ones((8, 4), np.int8),
        "axis": np.array([1]),
        "head": np.ones((4, 3), np.float32),
    }
    found = read_arithmetic(written(tmp_path, nodes, weights, ["batch", 3]))
    assert found.integer_share == pytest.approx(32 * TOKENS / (32 * TOKENS + 12))
    assert found.float_products == {"Gemm": 1}


@pytest.mark.parametrize(("level", "share"), [(4, 1.0), (0, 0.0)])
def test_weights_in_blocks_are_integer_work_only_with_activations_in_8_bits(tmp_path, level, share):
    node = helper.make_node(
        "MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", K=8, N=4, bits=8, block_size=8,
        accuracy_level=level,
    )  # fmt: skip
    weights: dict[str, np.ndarray] = {"w": np.ones((4, 1, 8), np.uint8), "s": np.ones((4, 1), np.float32)}
    found = read_arithmetic(written(tmp_path, [node], weights, ["batch", "length", 4]))
    assert found.integer_share == share
    assert found.float_products == ({} if share else {"MatMulNBits": 1})


@pytest.mark.parametrize("both", [True, False])
def test_a_product_in_qdq_form_is_integer_only_if_both_operands_are(tmp_path, both):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "s"], ["b"]),
        helper.make_node("MatMul", ["a" if both else "x", "b"], ["y"]),
    ]
    weights: dict[str, np.ndarray] = {
        "s": np.array(0.1, np.float32),
        "z": np.array(128, np.uint8),
        "w": np.ones((8, 4), np.int8),
    }
    found = read_arithmetic(written(tmp_path, nodes, weights, ["batch", "length", 4]))
    assert found.integer_share == (1.0 if both else 0.0)


def test_products_of_activations_are_listed_and_not_counted(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    found = read_arithmetic(written(tmp_path, nodes, {}, ["batch", "length", "length"]))
    assert found.integer_share is None
    assert found.float_products == {ACTIVATIONS: 1}


def test_an_unknown_shape_leaves_the_share_unknown(tmp_path):
    nodes = [
        helper.make_node("Unheard", ["x"], ["u"], domain="com.microsoft"),
        helper.make_node("MatMul", ["u", "w"], ["v"]),
        helper.make_node("Unheard", ["v"], ["y"], domain="com.microsoft"),
    ]
    found = read_arithmetic(written(tmp_path, nodes, {"w": np.ones((8, 4), np.float32)}, ["batch"]))
    assert found.integer_share is None
    assert found.float_products == {"MatMul": 1}


@pytest.mark.parametrize(
    ("precision", "integers", "floats"),
    [
        ("fp16", 0.0, {"Gemm", "MatMul", ACTIVATIONS}),
        ("int8-dynamic", 1.0, {ACTIVATIONS}),
        ("int8-static", 1.0, set()),
        ("int8", 0.99, {"Gemm", ACTIVATIONS}),
    ],
)
def test_files_of_the_quantizers(precision, integers, floats, finished_run, tmp_path):
    source = finished_run.folder / "models" / "r1" / "onnx" / "model.onnx"
    names = [port.name for port in onnx.load(source).graph.input]
    inputs = [{name: np.full((1, 5), name == "attention_mask", np.int64) for name in names}] * 2
    registry.quantizer(precision).quantize(source, tmp_path / "model.onnx", inputs)
    found = read_arithmetic(tmp_path / "model.onnx")
    assert found.integer_share == pytest.approx(integers, abs=0.02)
    assert set(found.float_products) == floats
    assert read_arithmetic(source).integer_share == 0.0
