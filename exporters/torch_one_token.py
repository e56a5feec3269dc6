"""The same as `onnx_one_token`, in PyTorch, for converters that trace the model themselves: what is computed for all
tokens and read for one is computed for that one."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.fx import GraphModule, Node

from edgedistill_exporters.narrowing import TOKENS, Inputs, broadcast, narrowable

if TYPE_CHECKING:
    from torch import nn

aten = torch.ops.aten

_ELEMENTWISE = {
    *(aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor),
    *(aten.add.Scalar, aten.sub.Scalar, aten.mul.Scalar, aten.div.Scalar, aten.pow.Tensor_Scalar, aten.where.self),
    *(aten.gelu.default, aten.relu.default, aten.tanh.default, aten.sigmoid.default, aten.silu.default),
    *(aten.erf.default, aten.neg.default, aten.exp.default, aten.sqrt.default, aten.rsqrt.default),
    *(aten.clone.default, aten.contiguous.default, aten.detach.default, aten.dropout.default, aten.to.dtype),
}
_VIEWS = {aten.view.default, aten.reshape.default, aten._unsafe_view.default}
_LAST = torch.iinfo(torch.int64).max


def one_token(module: nn.Module, sample: Mapping[str, torch.Tensor]) -> nn.Module:
    """A graph that computes the same for inputs of these shapes, with one token where one is read; the module itself if
    there is no such place. Torch raises what it raises if it cannot trace the module.

    Args:
        sample: inputs by name.
    """
    traced = torch.export.export(module, (), dict(sample)).module()
    assert isinstance(traced, GraphModule)
    traced.graph.eliminate_dead_code()
    narrowed = 0
    for node in list(traced.graph.nodes):
        index = _token_of(node)
        if index is not None:
            narrowed += _Narrowing(traced, node, index).apply()
    if not narrowed:
        return module
    traced.recompile()
    return traced


@dataclass
class _Narrowing:
    """Moves one selection of a token to where all tokens are needed."""

    module: GraphModule
    selection: Node
    """`select` of one index on the axis of tokens."""
    index: int
    narrow: dict[Node, tuple[int, Inputs]] = field(default_factory=dict)
    """Nodes of whose output one position is read, with the axis of that position."""

    def apply(self) -> int:
        """The number of nodes narrowed."""
        nodes = reversed(self.module.graph.nodes)
        self.narrow = narrowable(nodes, self.selection, _readers, _inputs_along)
        made: dict[tuple[Node, int], Node] = {}
        for node in [node for node in self.module.graph.nodes if node in self.narrow]:
            axis, inputs = self.narrow[node]
            for position, along in inputs.items():
                value = node.args[position]
                assert isinstance(value, Node)
                if value not in self.narrow:
                    if (value, along) not in made:
                        made[value, along] = self._sliced(value, along, node)
                    node.update_arg(position, made[value, along])
            if node.target in _VIEWS:
                shape = node.args[1]
                assert isinstance(shape, list | tuple)
                node.update_arg(1, [1 if place == axis else size for place, size in enumerate(shape)])
        if self.narrow:
            self.selection.update_arg(2, 0)
        return len(self.narrow)

    def _sliced(self, value: Node, axis: int, reader: Node) -> Node:
        with self.module.graph.inserting_before(reader):
            return self.module.graph.call_function(
                aten.slice.Tensor, (value, axis, self.index, self.index + 1 or _LAST)
            )


def _readers(node: Node) -> list[tuple[Node, int]]:
    """Those that read it as a keyword, at position -1."""
    return [
        (reader, place)
        for reader in node.users
        for place in [place for place, value in enumerate(reader.args) if value is node] or [-1]
    ]


def _token_of(node: Node) -> int | None:
    """The token that a node selects from a sequence, if that is what it does."""
    if node.target is not aten.select.int:
        return None
    sequence, axis, index = node.args
    assert isinstance(sequence, Node)
    shape = _shape(sequence)
    return (
        index if axis == TOKENS and shape is not None and len(shape) > TOKENS + 1 and isinstance(index, int) else None
    )


def _shape(value: object) -> Sequence[int] | None:
    """A tensor's sizes as traced; None if it is none."""
    found = value.meta.get("val") if isinstance(value, Node) else None
    return tuple(found.shape) if isinstance(found, torch.Tensor) else None


def _inputs_along(node: Node, axis: int) -> Inputs | None:
    """How to narrow a node on an axis of its output by narrowing its arguments; None if that is not known."""
    output, first = _shape(node), _shape(node.args[0]) if node.args else None
    if output is None or first is None:
        return None
    rank = len(output)
    if node.target in _ELEMENTWISE:
        return broadcast(output, [_shape(value) for value in node.args], axis, operator.eq)
    if node.target is aten.linear.default:
        return {0: axis} if axis < rank - 1 else None
    if node.target is aten.layer_norm.default:
        normalized = node.args[1]
        assert isinstance(normalized, list | tuple)
        return {0: axis} if axis < rank - len(normalized) else None
    if node.target is aten.softmax.int:
        return {0: axis} if axis != _place(node.args[1], rank) else None
    if node.target is aten.slice.Tensor:
        return {0: axis} if axis != _place(node.args[1] if len(node.args) > 1 else 0, rank) else None
    if node.target is aten.matmul.default:
        return {0: len(first) - 2} if axis == rank - 2 and len(first) > 1 else None
    if node.target is aten.scaled_dot_product_attention.default:
        return _attention(node, axis)
    if node.target is aten.transpose.int:
        one, other = (_place(value, rank) for value in node.args[1:3])
        return {0: {one: other, other: one}.get(axis, axis)}
    if node.target is aten.permute.default:
        order = node.args[1]
        assert isinstance(order, list | tuple)
        return {0: _place(order[axis], rank)}
    if node.target in _VIEWS:
        return {0: axis} if first[: axis + 1] == output[: axis + 1] else None
    return None


def _attention(node: Node, axis: int) -> Inputs | None:
    """Queries, and a mask that differs between them. A causal one would see fewer tokens for fewer queries."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    query, mask = _shape(given["query"]), _shape(given.get("attn_mask"))
    if query is None or axis != len(query) - 2 or given.get("is_causal", False):
        return None
    if mask is None or mask[-2] == 1:
        return {0: axis}
    return {0: axis, 3: len(mask) - 2} if "attn_mask" not in node.kwargs else None


def _place(axis: object, rank: int) -> int:
    """An axis counted from the start."""
    assert isinstance(axis, int)
    return axis % rank
