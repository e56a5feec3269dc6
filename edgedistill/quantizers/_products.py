"""Chosen products with a constant matrix as `MatMulNBits`: weights in blocks, activations dynamically in 8 bits."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from edgedistill.arrays import Array
from edgedistill.errors import RefusedError
from edgedistill.quantizers._blocks import INT8_ARITHMETIC, Blocks, replace_nodes, rounded

if TYPE_CHECKING:
    import onnx

_PLAIN = {"transA": 0, "alpha": 1.0, "beta": 1.0, "transBatchA": 0, "transBatchB": 0}


class _Matrix(NamedTuple):
    """The matrix of a product: its name, weights (K, N), and the bias, if the operator adds one."""

    name: str
    weights: Array
    bias: str


def quantize_outputs(model: onnx.ModelProto, outputs: Collection[str], blocks: Blocks) -> None:
    """Replace the products that make these values.

    Raises:
        RefusedError: one of them is fused into another operator.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    stored = {initializer.name: initializer for initializer in graph.initializer}
    turned = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Transpose"}
    done: set[str] = set()
    """Layers may share a matrix."""
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if not outputs or node.output[0] not in outputs:
            nodes.append(node)
            continue
        matrix = _matrix(node, stored, turned)
        names = [f"{matrix.name}_blocks", f"{matrix.name}_scales", f"{matrix.name}_zeros"]
        if matrix.name not in done:
            done.add(matrix.name)
            for name, array in zip(names, rounded(matrix.weights, blocks), strict=True):
                graph.initializer.append(numpy_helper.from_array(array, name))
        read = [node.input[0], *names[:2], names[2] if blocks.zeros else ""]
        made = helper.make_node(
            "MatMulNBits",
            [*read, "", matrix.bias] if matrix.bias else read,
            node.output,
            node.name,
            domain="com.microsoft",
            K=matrix.weights.shape[0],
            N=matrix.weights.shape[1],
            bits=blocks.bits,
            block_size=blocks.size,
            accuracy_level=INT8_ARITHMETIC,
        )
        nodes.append(made)
    read_by = {name for node in nodes for name in node.input} | {port.name for port in graph.output}
    replace_nodes(model, [node for node in nodes if node.op_type != "Transpose" or node.output[0] in read_by])


def _matrix(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto], turned: dict[str, str]) -> _Matrix:
    from onnx import helper, numpy_helper

    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    name = turned.get(node.input[1], node.input[1])
    transposed = bool(given.pop("transB", 0)) != (node.input[1] in turned)
    plain = all(_PLAIN.get(option) == value for option, value in given.items())
    if node.op_type not in ("MatMul", "Gemm", "FusedMatMul") or not plain or len(_dims(stored, name)) != 2:
        raise RefusedError(
            f"the product '{node.name}' is part of a {node.op_type}, whose weights cannot be in blocks; expected fp32 "
            "or int8-dynamic for its part"
        )
    weights = numpy_helper.to_array(stored[name])
    return _Matrix(name, weights.T if transposed else weights, node.input[2] if len(node.input) > 2 else "")


def _dims(stored: dict[str, onnx.TensorProto], name: str) -> list[int]:
    return list(stored[name].dims) if name in stored else []
