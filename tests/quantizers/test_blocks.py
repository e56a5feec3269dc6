"""Weights in blocks, on a graph of a table that is the head too, whose right answers are a few lines of numpy."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedistill.errors import RefusedError
from edgedistill.quantizers._blocks import Blocks, quantize_products, quantize_tables

ROWS = 21


def graph(width: int, head: str) -> onnx.ModelProto:
    """`found`: rows of a table by their numbers; `scores`: `hidden` times the same table, by `head`."""
    table = np.random.default_rng(0).normal(size=(ROWS, width)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "ids"], ["found"])]
    if head == "turned":
        nodes.append(helper.make_node("Transpose", ["table"], ["columns"], perm=[1, 0]))
        nodes.append(helper.make_node("MatMul", ["hidden", "columns"], ["scores"]))
    elif head == "fused":
        nodes.append(helper.make_node("FusedMatMul", ["hidden", "table"], ["scores"], domain="com.microsoft", transB=1))
    else:
        nodes.append(helper.make_node("Mul", ["hidden", "table"], ["scores"]))
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [None, width]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in ("found", "scores")]
    made = helper.make_graph(nodes, "table", inputs, outputs, [numpy_helper.from_array(table, "table")])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def run(model, width):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    hidden = np.random.default_rng(1).normal(size=(ROWS, width)).astype(np.float32)
    found, scores = session.run(None, {"ids": np.arange(ROWS), "hidden": hidden})
    return found, scores, hidden


@pytest.mark.parametrize("head", ["turned", "fused"])
@pytest.mark.parametrize("width", [64, 48, 96])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_rows_are_rounded_and_the_head_is_the_same_table(bits, width, head):
    """A width of 48 is no whole number of blocks, one of 96 is of an odd number of them."""
    model = graph(width, head)
    table = numpy_helper.to_array(model.graph.initializer[0])
    quantize_tables(model, Blocks(bits))
    found, scores, hidden = run(model, width)
    step = np.ptp(table) / 2**bits
    assert 0 < np.abs(found - table).max() <= step
    # The head rounds its input too, to 8 bits in blocks.
    assert np.abs(scores - hidden @ found.T).max() < 0.02 * np.abs(scores).max()
    operators = [node.op_type for node in model.graph.node]
    assert "Transpose" not in operators
    assert [initializer.name for initializer in model.graph.initializer if initializer.name == "table"] == []
    stored = sum(numpy_helper.to_array(initializer).nbytes for initializer in model.graph.initializer)
    padded = -(-width // 32) * 32
    assert stored <= ROWS * padded * bits / 8 + ROWS * (padded // 32) * 5 + 16


def test_what_else_reads_the_table_reads_it_as_it_was():
    model = graph(64, "other")
    table = numpy_helper.to_array(model.graph.initializer[0])
    quantize_tables(model, Blocks(4))
    found, scores, hidden = run(model, 64)
    assert np.abs(found - table).max() > 0
    np.testing.assert_array_equal(scores, hidden * table)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_products_are_rounded_to_so_many_bits(bits):
    weights = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 64])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 8])]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    made = helper.make_graph([node], "product", inputs, outputs, [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    file = quantize_products(model, Blocks(bits))
    session = onnxruntime.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.eye(64, dtype=np.float32)})
    blocks = found.T.reshape(8, 2, 32).round(5)
    levels = max(len(np.unique(block)) for row in blocks for block in row)
    assert levels == 4 if bits == 2 else 4 < levels <= 32
    # At most half a step beside each number, and a whole one at the ends of an asymmetric block.
    assert 0 < np.abs(found - weights).max() <= np.ptp(weights) / (2**bits - 1)


def test_a_model_without_products_is_refused():
    with pytest.raises(RefusedError, match="precision int4: the model has no product with a constant matrix"):
        quantize_products(graph(64, "other"), Blocks(4))


@pytest.mark.parametrize("width", [64, 48])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_scales_of_a_table_that_is_only_looked_up_take_two_bytes(bits, width):
    """And rows come in fp32 all the same."""
    made = {}
    for head in ("turned", "none"):
        model = graph(width, head)
        quantize_tables(model, Blocks(bits))
        types = {array.dtype for array in map(numpy_helper.to_array, model.graph.initializer)}
        assert (np.dtype(np.float16) in types) == (head == "none")
        if head == "none":
            del model.graph.node[-1], model.graph.output[-1]  # the product with the table as it was
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        feeds = {"ids": np.arange(ROWS), "hidden": np.zeros((1, width), np.float32)}
        made[head] = session.run(["found"], {port.name: feeds[port.name] for port in session.get_inputs()})[0]
    assert made["none"].dtype == np.float32
    assert made["none"].shape == (ROWS, width)
    np.testing.assert_allclose(made["none"], made["turned"], rtol=2e-3)
    assert np.abs(made["none"] - made["turned"]).max() > 0
