"""What flows where in an ONNX graph: constants, products with constants, lookups, attention, residual additions.

Holds for graphs as exported (PyTorch's attention, or written out), fused by ONNX Runtime, and quantized.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_MATRIX = {
    "MatMul": 1,
    "Gemm": 1,
    "FusedMatMul": 1,
    "MatMulNBits": 1,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
    "Attention": 1,
    "QAttention": 1,
    "Conv": 1,
    "ConvInteger": 1,
}
"""Operators that multiply with a matrix, and the input that is the matrix."""
_PAIRS = ("MatMul", "FusedMatMul", "MatMulInteger", "Einsum")
_ATTENTION = ("Attention", "QAttention", "MultiHeadAttention", "GroupQueryAttention")
_SUMS = ("Add", "Sum")
_SKIPS = ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
_SHAPES = ("Shape", "Size")
"""They read a value's shape, not the value."""
_LOOKUPS = ("Gather", "GatherBlockQuantized")
Rule = Callable[["onnx.NodeProto"], bool]


@dataclass(frozen=True)
class Flow:
    """Facts about a graph whose nodes are in topological order, as ONNX demands."""

    graph: onnx.GraphProto

    @cached_property
    def stored(self) -> Mapping[str, onnx.TensorProto]:
        """The initializers."""
        return {initializer.name: initializer for initializer in self.graph.initializer}

    @cached_property
    def made_by(self) -> Mapping[str, onnx.NodeProto]:
        """The node of each value."""
        return {output: node for node in self.graph.node for output in node.output}

    @cached_property
    def readers(self) -> Mapping[str, list[onnx.NodeProto]]:
        """The nodes that read each value."""
        found = defaultdict(list)
        for node in self.graph.node:
            for name in node.input:
                found[name].append(node)
        return found

    @cached_property
    def constant(self) -> frozenset[str]:
        """Values that depend on no input of the graph."""
        found = {"", *self.stored}
        for node in self.graph.node:
            if found.issuperset(node.input):
                found.update(node.output)
        return frozenset(found)

    def origins(self, values: Iterable[str]) -> list[str]:
        """The initializers from which these constants are made."""
        found: dict[str, None] = {}
        for name in values:
            if name in self.stored:
                found[name] = None
            elif name in self.made_by:
                found |= dict.fromkeys(self.origins(self.made_by[name].input))
        return list(found)

    def multiplies(self, node: onnx.NodeProto) -> bool:
        """Whether it is a product with a constant matrix."""
        matrix = _MATRIX.get(node.op_type)
        return matrix is not None and len(node.input) > matrix and self._is_constant(node.input[matrix])

    def looks_up(self, node: onnx.NodeProto) -> bool:
        """Whether it looks up rows of a constant matrix."""
        if node.op_type not in _LOOKUPS or not self._is_constant(node.input[0]) or node.input[1] in self.constant:
            return False
        axes = [attribute.i for attribute in node.attribute if attribute.name in ("axis", "gather_axis")]
        widths = [len(self.stored[name].dims) for name in self.origins(node.input[:1])]
        return axes in ([], [0]) and max(widths, default=0) >= 2

    def attends(self, node: onnx.NodeProto) -> bool:
        """Whether it is an attention, or the product of two values before or after an attention's softmax."""
        if node.op_type in _ATTENTION:
            return True
        if node.op_type not in _PAIRS or self.constant.intersection(name for name in _read(node)[:2] if name):
            return False
        return any(output in self._into_softmax for output in node.output) or any(
            name in self._from_softmax for name in node.input
        )

    @cached_property
    def into_attention(self) -> frozenset[str]:
        """Values that get to an attention through no product with a constant, its own included."""
        return self._before(lambda node: self.attends(node) and not self.multiplies(node), self.multiplies)

    @cached_property
    def from_attention(self) -> frozenset[str]:
        """Values that come from an attention through no product with a constant."""
        return self._after(self.attends, self.multiplies)

    @cached_property
    def behind_attention(self) -> frozenset[str]:
        """Values that depend on an attention."""
        return self._after(self.attends, _never)

    @cached_property
    def before_residual(self) -> frozenset[str]:
        """Values on which a residual addition depends: a sum of two values that both depend on the input."""
        return self._before(self._adds, _never)

    def before(self, last: Rule) -> frozenset[str]:
        """Values on which such a node depends."""
        return self._before(last, _never)

    def _adds(self, node: onnx.NodeProto) -> bool:
        return node.op_type in _SKIPS or (
            node.op_type in _SUMS and sum(name not in self.constant for name in node.input) > 1
        )

    def _is_constant(self, name: str) -> bool:
        return name != "" and name in self.constant and bool(self.origins([name]))

    @cached_property
    def _into_softmax(self) -> frozenset[str]:
        return self._before(_is_softmax, self.multiplies)

    @cached_property
    def _from_softmax(self) -> frozenset[str]:
        return self._after(_is_softmax, self.multiplies)

    def _before(self, last: Rule, stop: Rule) -> frozenset[str]:
        found: set[str] = set()
        for node in reversed(self.graph.node):
            if last(node) or (not stop(node) and found.intersection(_carrying(node))):
                found.update(name for name in _read(node) if name not in self.constant)
        return frozenset(found)

    def _after(self, first: Rule, stop: Rule) -> frozenset[str]:
        found: set[str] = set()
        for node in self.graph.node:
            if first(node) or (not stop(node) and found.intersection(_read(node))):
                found.update(_carrying(node))
        return frozenset(found)


def _carrying(node: onnx.NodeProto) -> list[str]:
    """Outputs that carry the input on. The scale of a quantized input is multiplied with the product's result, which
    would lead around the product."""
    return list(node.output[:1]) if node.op_type == "DynamicQuantizeLinear" else list(node.output)


def _read(node: onnx.NodeProto) -> list[str]:
    return [] if node.op_type in _SHAPES else list(node.input)


def _is_softmax(node: onnx.NodeProto) -> bool:
    return node.op_type == "Softmax"


def _never(_: onnx.NodeProto) -> bool:
    return False
