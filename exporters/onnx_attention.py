"""Attention in an ONNX graph: finds it as `plain_attention` traces it, and replaces it with ONNX Runtime's operators:
`Attention`, which holds the projections, where queries, keys and values are of the same tokens, and otherwise (a last
layer that is read for one token, `onnx_one_token`) `MultiHeadAttention`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgedistill_exporters.plain_attention import MASK

if TYPE_CHECKING:
    import onnx_ir

    from edgedistill.arrays import Array

DOMAIN = "com.microsoft"
_ROWS, _COLUMNS = (0, 2, 1, 3), (0, 2, 3, 1)
"""From (B, T, heads, size) to (B, heads, T, size), and to (B, heads, size, T)."""


@dataclass(frozen=True)
class _Projection:
    """A linear layer whose output is divided into heads."""

    source: onnx_ir.Value
    """(B, T, H)."""
    product: onnx_ir.Value
    """(B, T, heads * size), before the bias."""
    weights: Array
    """(H, heads * size)."""
    bias: Array
    heads: int


@dataclass(frozen=True)
class _Attention:
    """One layer's attention."""

    projections: tuple[_Projection, _Projection, _Projection]
    """Of queries, keys and values."""
    scale: float
    masked: bool
    output: onnx_ir.Value
    """(B, T, heads * size), of the tokens of the queries."""

    @property
    def same_tokens(self) -> bool:
        """Whether queries are of the same tokens as keys and values."""
        query, key, _ = self.projections
        return query.source is key.source


def fuse_attention(graph: onnx_ir.Model) -> int:
    """Replace every layer's attention in place; returns the number of layers."""
    import onnx_ir
    from onnx_ir.passes import common

    softmaxes = [node for node in graph.graph.all_nodes() if node.op_type == "Softmax"]
    found = [layer for node in softmaxes if (layer := _attention_around(node)) is not None]
    mask = _integers(graph) if any(layer.masked for layer in found) else None
    for number, layer in enumerate(found):
        _replace(graph, layer, mask, f"attention_{number}")
    if found:
        graph.opset_imports[DOMAIN] = 1
        onnx_ir.passes.Sequential(common.RemoveUnusedNodesPass())(graph)
    return len(found)


def _attention_around(softmax: onnx_ir.Node) -> _Attention | None:
    """The attention that a softmax is part of, if it is of the form that `plain_attention` traces."""
    scores, masked = softmax.inputs[0], False
    if (added := _maker(scores, "Add")) is not None:
        scores, masked = added.inputs[0], True
    scaled = _maker(scores, "Mul")
    product = None if scaled is None else _maker(scaled.inputs[0], "MatMul")
    scale = None if scaled is None else _constant(scaled.inputs[1])
    mixed = _only_user(softmax.outputs[0], "MatMul")
    moved = None if mixed is None else _only_user(mixed.outputs[0], "Transpose")
    merged = None if moved is None else _only_user(moved.outputs[0], "Reshape")
    if product is None or scale is None or scale.size != 1 or mixed is None or merged is None:
        return None
    parts = [
        _projection(value, turned)
        for value, turned in ((product.inputs[0], _ROWS), (product.inputs[1], _COLUMNS), (mixed.inputs[1], _ROWS))
    ]
    query, key, value = parts
    if query is None or key is None or value is None:
        return None
    same = key.source is value.source and query.heads == key.heads == value.heads
    if not same or not query.weights.shape == key.weights.shape == value.weights.shape:
        return None
    return _Attention((query, key, value), float(scale.reshape(())), masked, merged.outputs[0])


def _projection(value: onnx_ir.Value | None, turned: tuple[int, ...]) -> _Projection | None:
    moved = _maker(value, "Transpose")
    if moved is None or tuple(moved.attributes.get_ints("perm", [])) != turned:
        return None
    divided = _maker(moved.inputs[0], "Reshape")
    added = None if divided is None else _maker(divided.inputs[0], "Add")
    product = None if added is None else _maker(added.inputs[0], "MatMul")
    if divided is None or added is None or product is None or product.inputs[0] is None:
        return None
    weights, bias, shape = _constant(product.inputs[1]), _constant(added.inputs[1]), divided.outputs[0].shape
    if weights is None or bias is None or shape is None or not isinstance(shape[2], int):
        return None
    return _Projection(product.inputs[0], product.outputs[0], weights, bias, shape[2])


def _replace(graph: onnx_ir.Model, layer: _Attention, mask: onnx_ir.Value | None, name: str) -> None:
    """Put the operator where the layer's attention ends."""
    import onnx_ir

    def stored(kind: str, array: Array) -> onnx_ir.Value:
        value = onnx_ir.Value(name=f"{name}.{kind}", const_value=onnx_ir.tensor(array))
        graph.graph.register_initializer(value)
        return value

    query, key, value = layer.projections
    bias = stored("bias", np.concatenate([part.bias for part in layer.projections]))
    masks = [mask] if layer.masked else []
    if layer.same_tokens:
        weights = stored("weight", np.concatenate([part.weights for part in layer.projections], axis=1))
        kind, inputs = "Attention", [query.source, weights, bias, *masks]
    else:
        kind, inputs = "MultiHeadAttention", [query.product, key.product, value.product, bias, *masks]
    options = {"num_heads": query.heads, "scale": layer.scale}
    attention = onnx_ir.node(kind, inputs, options, domain=DOMAIN, name=name)
    before = layer.output.producer()
    assert before is not None
    graph.graph.insert_before(before, attention)
    attention.outputs[0].shape, attention.outputs[0].type = layer.output.shape, layer.output.type
    layer.output.replace_all_uses_with(attention.outputs[0])


def _integers(graph: onnx_ir.Model) -> onnx_ir.Value:
    """The mask as the operator reads it: int32, 1 for a token and 0 for padding."""
    import onnx_ir

    mask = next(value for value in graph.graph.inputs if value.name == MASK)
    cast = onnx_ir.node("Cast", [mask], {"to": onnx_ir.DataType.INT32}, name="mask_as_int32")
    graph.graph.insert_before(graph.graph[0], cast)
    return cast.outputs[0]


def _maker(value: onnx_ir.Value | None, kind: str) -> onnx_ir.Node | None:
    """The node that computes a value, if it is of that kind."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == kind else None


def _only_user(value: onnx_ir.Value, kind: str) -> onnx_ir.Node | None:
    """The one node that reads a value, if it is of that kind."""
    users = [use.node for use in value.uses()]
    return users[0] if len(users) == 1 and users[0].op_type == kind else None


def _constant(value: onnx_ir.Value | None) -> Array | None:
    return None if value is None or value.const_value is None else np.asarray(value.const_value.numpy())
