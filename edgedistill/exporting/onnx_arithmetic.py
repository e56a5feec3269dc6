"""How much of an ONNX file's work runs in integer kernels, read from its graph and shapes without running it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

TOKENS = 32
"""Multiply-adds are counted for one input with this length on each axis that is free."""
_INTEGER = {
    "MatMulInteger": (0, 1),
    "DynamicQuantizeMatMul": (0, 1),
    "MatMulIntegerToFloat": (0, 1),
    "QAttention": (0, 1),
    "ConvInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    "QLinearConv": (0, 3),
    "QGemm": (0, 3),
}
_FLOAT = dict.fromkeys(("MatMul", "Gemm", "FusedMatMul", "Attention", "Conv", "FusedConv"), (0, 1))
"""Operators of matrix products, and the positions of both operands among their inputs."""
_IN_BLOCKS, _INT8_ACTIVATIONS = "MatMulNBits", 4
"""Weights in blocks, and the `accuracy_level` at which ONNX Runtime computes with activations in 8 bits."""
_UNCHANGED = ("DequantizeLinear", "QuantizeLinear", "Cast", "Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze")
"""A constant that passes through one of these has as many elements as before."""


@dataclass(frozen=True)
class Arithmetic:
    """How a file's matrix products are computed."""

    integer_share: float | None
    """Of the multiply-adds of products with a constant weight; None without such a product, or if a shape is
    unknown."""
    float_products: Mapping[str, int]
    """Number of products in floating point, by operator; `MatMul of activations` has no weight, as in attention."""


def read_arithmetic(file: Path) -> Arithmetic:
    """Read the graph, without external weights.

    A product in QDQ form (both operands dequantized from 8 bits) is counted as integer, since ONNX Runtime fuses it.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(file, load_external_data=False))
    graph = _Graph(model)
    work = {True: 0, False: 0}
    floats: Counter[str] = Counter()
    known = True
    for node in model.graph.node:
        if node.op_type not in (*_INTEGER, *_FLOAT, _IN_BLOCKS):
            continue
        weight, integer = graph.weight_of(node), graph.is_integer(node)
        if not integer:
            floats[node.op_type if weight is not None else f"{node.op_type} of activations"] += 1
        if weight is not None:
            rows = graph.rows_of(node)
            known &= rows is not None
            work[integer] += weight * (rows or 0)
    total = sum(work.values())
    return Arithmetic(work[True] / total if known and total else None, dict(sorted(floats.items())))


class _Graph:
    """What is known of each value by its name: constants, 8-bit types, shapes, origin."""

    def __init__(self, model: onnx.ModelProto) -> None:
        import onnx

        graph = model.graph
        bytes_ = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
        self._made_by = {name: node for node in graph.node for name in node.output}
        self._constants = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
        self._bytes = {tensor.name for tensor in graph.initializer if tensor.data_type in bytes_}
        self._shapes = {}
        for value in (*graph.value_info, *graph.output, *graph.input):
            kind = value.type.tensor_type
            if kind.elem_type in bytes_:
                self._bytes.add(value.name)
            if kind.HasField("shape"):
                self._shapes[value.name] = kind.shape.dim
        for node in graph.node:
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        self._constants[node.output[0]] = math.prod(attribute.t.dims)
            elif node.op_type in _UNCHANGED and node.input[0] in self._constants:
                self._constants[node.output[0]] = self._constants[node.input[0]]

    def weight_of(self, node: onnx.NodeProto) -> int | None:
        """Number of elements of a product's constant operand; None if both are activations."""
        if node.op_type == _IN_BLOCKS:
            return _attribute(node, "K") * _attribute(node, "N")
        own = [self._constants[name] for name in _operands(node) if name in self._constants]
        return max(own, default=None)

    def is_integer(self, node: onnx.NodeProto) -> bool:
        """Whether a product is computed in integers."""
        if node.op_type == _IN_BLOCKS:
            return _attribute(node, "accuracy_level") == _INT8_ACTIVATIONS
        return node.op_type in _INTEGER or all(map(self._from_bytes, _operands(node)))

    def rows_of(self, node: onnx.NodeProto) -> int | None:
        """How often a product's weight is applied for one input of `TOKENS` tokens; None if unknown."""
        shape = self._shapes.get(node.output[0])
        if shape is None:
            return None
        channels = 1 if "Conv" in node.op_type else len(shape) - 1
        sizes = []
        for axis, size in enumerate(shape):
            if size.HasField("dim_value"):
                sizes.append(size.dim_value)
            else:
                alone = axis == 0 and "*" not in size.dim_param
                sizes.append(1 if alone else TOKENS)
        return math.prod(size for axis, size in enumerate(sizes) if axis != channels)

    def _from_bytes(self, name: str) -> bool:
        node = self._made_by.get(name)
        while node is not None and node.op_type in ("Transpose", "Reshape"):
            node = self._made_by.get(node.input[0])
        return node is not None and node.op_type == "DequantizeLinear" and node.input[0] in self._bytes


def _operands(node: onnx.NodeProto) -> list[str]:
    places = (_INTEGER | _FLOAT)[node.op_type]
    return [node.input[place] for place in places if place < len(node.input)]


def _attribute(node: onnx.NodeProto, name: str) -> int:
    """An integer attribute; 0 if it is not there."""
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), 0)
