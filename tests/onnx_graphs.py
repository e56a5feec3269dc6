"""A small encoder as an ONNX graph, written by hand: one layer, a table of words, a head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

WORDS, WIDTH, WIDE, LABELS = 40, 32, 64, 3


def encoder(*, tied: bool = False, entry: bool = False) -> onnx.ModelProto:
    """`logits` (B, 3) of `ids` (B, T).

    Args:
        tied: the scores of the words by the same table, instead of three labels.
        entry: a product between the table and the layer that no name tells anything about.
    """
    random = np.random.default_rng(0)
    square = dict.fromkeys(("query", "key", "value", "output", "entry"), (WIDTH, WIDTH))
    shapes = {"words": (WORDS, WIDTH), **square, "up": (WIDTH, WIDE), "down": (WIDE, WIDTH), "head": (LABELS, WIDTH)}
    weights = {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in shapes.items()}
    weights["shift"] = random.normal(0, 0.2, WIDTH).astype(np.float32)
    weights["bias"] = random.normal(0, 0.2, LABELS).astype(np.float32)
    nodes = [helper.make_node("Gather", ["words", "ids"], ["found"])]
    nodes.append(helper.make_node("Add", ["found", "shift"], ["shifted"]))
    if entry:
        nodes.append(helper.make_node("MatMul", ["shifted", "entry"], ["entered"]))
    start = "entered" if entry else "shifted"
    nodes += [helper.make_node("MatMul", [start, name], [f"{name}_made"]) for name in ("query", "key", "value")]
    nodes += [
        helper.make_node("Transpose", ["key_made"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["query_made", "turned"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"]),
        helper.make_node("MatMul", ["shares", "value_made"], ["context"]),
        helper.make_node("MatMul", ["context", "output"], ["attended"]),
        helper.make_node("Add", ["attended", start], ["first"]),
        helper.make_node("MatMul", ["first", "up"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["active"]),
        helper.make_node("MatMul", ["active", "down"], ["narrow"]),
        helper.make_node("Add", ["narrow", "first"], ["second"]),
        helper.make_node("ReduceMean", ["second", "axes"], ["mean"], keepdims=0),
    ]
    if tied:
        nodes.append(helper.make_node("Transpose", ["words"], ["columns"], perm=[1, 0]))
        nodes.append(helper.make_node("MatMul", ["mean", "columns"], ["logits"]))
    else:
        nodes.append(helper.make_node("Gemm", ["mean", "head", "bias"], ["logits"], transB=1))
    read = {name for node in nodes for name in node.input}
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items() if name in read]
    stored.append(numpy_helper.from_array(np.array([1]), "axes"))
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", None])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def logits(file: Path) -> np.ndarray:
    """Of 20 texts of 8 words."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {"ids": np.random.default_rng(1).integers(0, WORDS, (20, 8))})[0]
