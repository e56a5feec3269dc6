"""Leaves out what no output reads: where a model's outputs depend on one token of its last layer, as a classifier's
with a [CLS] token do, the queries, the feed-forward part and the norms of that layer are computed for that token alone.

The answers are the same, for every other token's result was thrown away. Keys and values still need all tokens, so five
sixths of a BERT layer's multiplications are saved, more than a quarter of those of a student with three layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgedistill_exporters.narrowing import TOKENS, Inputs, broadcast, narrowable

if TYPE_CHECKING:
    import onnx_ir

_ELEMENTWISE = {
    *("Add", "Sub", "Sum", "Mul", "Div", "Pow", "Max", "Min", "Where", "Cast", "Identity"),
    *("Neg", "Exp", "Sqrt", "Reciprocal", "Erf", "Tanh", "Sigmoid", "Gelu", "Relu", "LeakyRelu", "Clip"),
    *("Softplus", "HardSigmoid", "HardSwish"),
}
_NORMS = ("LayerNormalization", "RMSNormalization")
_LAST = np.iinfo(np.int64).max


def read_one_token(graph: onnx_ir.Model) -> int:
    """Narrow, in place, whatever is computed for all tokens and read for one; returns the number of nodes narrowed."""
    narrowed = 0
    for node in list(graph.graph):
        index = _token_of(node)
        if index is not None:
            narrowed += _Narrowing(graph, node, index).apply()
    return narrowed


@dataclass
class _Narrowing:
    """Moves one selection of a token to where all tokens are needed."""

    graph: onnx_ir.Model
    selection: onnx_ir.Node
    """`Gather` of one index on the axis of tokens."""
    index: int
    narrow: dict[onnx_ir.Node, tuple[int, Inputs]] = field(default_factory=dict)
    """Nodes of whose output one position is read, with the axis of that position."""

    def apply(self) -> int:
        """The number of nodes narrowed."""
        self.narrow = narrowable(reversed(self.graph.graph), self.selection, _readers, _inputs_along)
        made: dict[tuple[onnx_ir.Value, int], onnx_ir.Value] = {}
        for node in [node for node in self.graph.graph if node in self.narrow]:
            axis, inputs = self.narrow[node]
            for position, along in inputs.items():
                value = node.inputs[position]
                assert value is not None
                if value.producer() not in self.narrow:
                    if (value, along) not in made:
                        made[value, along] = self._sliced(value, along, node)
                    node.replace_input_with(position, made[value, along])
            self._resize(node, axis)
        if self.narrow:
            self.selection.replace_input_with(1, self._constant("first", np.array(0)))
        return len(self.narrow)

    def _sliced(self, value: onnx_ir.Value, axis: int, reader: onnx_ir.Node) -> onnx_ir.Value:
        import onnx_ir

        end = self.index + 1 or _LAST
        bounds = [
            self._constant(f"{value.name}_{what}", np.array([number]))
            for what, number in (("start", self.index), ("end", end), ("axis", axis))
        ]
        node = onnx_ir.node("Slice", [value, *bounds], name=f"{value.name}_one_token")
        self.graph.graph.insert_before(reader, node)
        node.outputs[0].name = f"{value.name}_one_token"
        node.outputs[0].type = value.type
        node.outputs[0].shape = _with_one(value, axis)
        return node.outputs[0]

    def _resize(self, node: onnx_ir.Node, axis: int) -> None:
        """Correct the shape of the output, and the shape that a reshape is told."""
        node.outputs[0].shape = _with_one(node.outputs[0], axis)
        if node.op_type == "Reshape":
            sizes = [dim if isinstance(dim, int) else -1 for dim in node.outputs[0].shape]
            node.replace_input_with(1, self._constant(f"{node.outputs[0].name}_shape", np.array(sizes)))

    def _constant(self, name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> onnx_ir.Value:
        import onnx_ir

        name = f"{self.selection.outputs[0].name}_{name}"
        known = self.graph.graph.initializers.get(name)
        if known is not None:
            return known
        value = onnx_ir.Value(name=name, const_value=onnx_ir.tensor(array.astype(np.int64), name=name))
        self.graph.graph.register_initializer(value)
        return value


def _token_of(node: onnx_ir.Node) -> int | None:
    """The token that a node selects from a sequence, if that is what it does."""
    if node.op_type != "Gather" or node.attributes.get_int("axis", 0) != TOKENS or node.inputs[0] is None:
        return None
    index, sequence = node.inputs[1], node.inputs[0].shape
    if index is None or index.const_value is None or sequence is None or len(sequence) <= TOKENS + 1:
        return None
    array = index.const_value.numpy()
    return int(array) if array.ndim == 0 else None


def _readers(node: onnx_ir.Node) -> list[tuple[onnx_ir.Node, int]] | None:
    if len(node.outputs) != 1 or node.outputs[0].is_graph_output():
        return None
    return [(use.node, use.idx) for use in node.outputs[0].uses()]


def _inputs_along(node: onnx_ir.Node, axis: int) -> Inputs | None:
    """How to narrow a node on an axis of its output by narrowing its inputs; None if that is not known."""
    shapes = [None if value is None else value.shape for value in node.inputs]
    output = node.outputs[0].shape
    if output is None or shapes[0] is None:
        return None
    if node.op_type in _ELEMENTWISE:
        return None if any(shape is None for shape in shapes) else broadcast(output, shapes, axis, _same)
    if node.op_type in _NORMS:
        return {0: axis} if axis < node.attributes.get_int("axis", -1) % len(output) else None
    if node.op_type == "Softmax":
        return {0: axis} if axis != node.attributes.get_int("axis", -1) % len(output) else None
    if node.op_type == "MatMul":
        return {0: len(shapes[0]) - 2} if axis == len(output) - 2 and len(shapes[0]) > 1 else None
    if node.op_type == "Transpose":
        return {0: tuple(node.attributes.get_ints("perm", tuple(reversed(range(len(output))))))[axis]}
    if node.op_type == "Reshape":
        same = len(shapes[0]) > axis and all(map(_same, output[: axis + 1], shapes[0][: axis + 1]))
        free = [dim for place, dim in enumerate(output) if place != axis and not isinstance(dim, int)]
        return {0: axis} if same and len(free) <= 1 else None
    return None


def _same(one: int | onnx_ir.SymbolicDim, other: int | onnx_ir.SymbolicDim) -> bool:
    """Whether two sizes are equal; of unknown ones nobody knows."""
    return one == other and (isinstance(one, int) or one.value is not None)


def _with_one(value: onnx_ir.Value, axis: int) -> onnx_ir.Shape:
    import onnx_ir

    assert value.shape is not None
    return onnx_ir.Shape([1 if place == axis else dim for place, dim in enumerate(value.shape)])
