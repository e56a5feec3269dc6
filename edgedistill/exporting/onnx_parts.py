"""Which part of a transformer each matrix of an ONNX graph belongs to, by its position in the graph.

A table that is looked up is an embedding. A product with a constant matrix belongs to the attention if its result gets
to an attention (queries, keys, values) or its input comes from one (output), through no other such product; to the
feed-forward layers if it lies between an attention and a residual addition; to the head if it is behind all layers. The
names of the weights, and of the bias that is added next, only decide about products that no attention precedes:
`embeddings_project` belongs to the embeddings, `layer.0.bottleneck` to the feed-forward layers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgedistill.contracts.precision import PartName
from edgedistill.exporting.onnx_flow import Flow

if TYPE_CHECKING:
    import onnx

_LAYER = re.compile(r"(?:^|[._])(?:layers?|blocks?|h)\.(\d+)\.")
_EMBEDDING = re.compile("embed")


@dataclass(frozen=True)
class Matrix:
    """A table, or the constant matrix of a product."""

    node: onnx.NodeProto
    kind: Literal["table", "product"]
    part: PartName | None
    """None: none of the parts."""
    weights: tuple[str, ...]
    """Its initializers: the matrix and, if it is quantized, its scales and zero points."""
    names: tuple[str, ...]
    """Names of its initializers and its bias, for a person."""

    @property
    def layer(self) -> int | None:
        """Its layer, by these names; None if they do not say, and outside the layers."""
        if self.part not in ("attention", "feed_forward"):
            return None
        found = (_LAYER.search(name) for name in self.names)
        return next((int(match[1]) for match in found if match is not None), None)


def matrices(graph: onnx.GraphProto) -> tuple[Matrix, ...]:
    """All tables and matrices of a graph, in its order."""
    flow = Flow(graph)
    in_layers = {node.output[0]: _part(node, flow) for node in graph.node if flow.multiplies(node)}
    before_layers = flow.before(lambda node: bool(node.output) and in_layers.get(node.output[0]) is not None)
    found = []
    for node in graph.node:
        if flow.multiplies(node):
            output = node.output[0]
            last = output not in before_layers and output not in flow.before_residual
            part = in_layers[output] or ("head" if last else None)
            found.append(Matrix(node, "product", part, _weights(node, flow), _names(node, flow)))
        elif flow.looks_up(node):
            # A bias of relative positions is looked up too.
            table: PartName = "attention" if node.output[0] in flow.into_attention else "embeddings"
            weights = _weights(node, flow)
            found.append(Matrix(node, "table", table, weights, weights))
    return tuple(found)


def part_sizes(file: Path) -> dict[tuple[PartName, int | None], int]:
    """Number of weights of each part, by layer; if the layer of one of its matrices is unknown, of the whole part."""
    import onnx

    graph = onnx.load(file).graph
    found = [matrix for matrix in matrices(graph) if _can_shrink(matrix)]
    dims = {initializer.name: initializer.dims for initializer in graph.initializer}
    whole = {matrix.part for matrix in found if matrix.layer is None}
    sizes: dict[tuple[PartName, int | None], int] = {}
    seen: set[str] = set()
    """Layers may share a matrix."""
    for matrix in found:
        assert matrix.part is not None, "others cannot shrink"
        key = (matrix.part, None if matrix.part in whole else matrix.layer)
        own = [name for name in matrix.weights if name not in seen and len(dims[name]) == 2]  # no bias
        sizes[key] = sizes.get(key, 0) + sum(math.prod(dims[name]) for name in own)
        seen.update(own)
    return sizes


def _can_shrink(matrix: Matrix) -> bool:
    return matrix.part is not None and (matrix.kind == "product" or matrix.part == "embeddings")


def _part(node: onnx.NodeProto, flow: Flow) -> PartName | None:
    """The part of a product in or before the layers; None if it is behind them, or unknown."""
    output, inputs = node.output[0], set(node.input)
    repeated = output in flow.before_residual
    if flow.attends(node) or output in flow.into_attention or (repeated and inputs & flow.from_attention):
        return "attention"
    if repeated and inputs & flow.behind_attention:
        return "feed_forward"
    names = _names(node, flow)
    if any(_LAYER.search(name) for name in names):
        return "feed_forward"
    if repeated and any(_EMBEDDING.search(name) for name in names):
        return "embeddings"
    return None


def _names(node: onnx.NodeProto, flow: Flow) -> tuple[str, ...]:
    """Names of the weights, and of the bias that is added next; a quantized product's is scaled before."""
    found = flow.origins(name for name in node.input if name in flow.constant)
    results = [node.output[0]]
    while results:
        for reader in flow.readers.get(results.pop(), ()):
            if reader.op_type in ("Add", "Sum"):
                found += [name for name in reader.input if name in flow.stored]
            elif reader.op_type in ("Cast", "Mul"):
                results.append(reader.output[0])
    return tuple(dict.fromkeys(found))


def _weights(node: onnx.NodeProto, flow: Flow) -> tuple[str, ...]:
    """The initializers of a matrix. The scales of a quantized product are only used after it: ONNX Runtime calls them
    `NAME_scale` beside `NAME_quantized`."""
    own = flow.origins(name for name in node.input if name in flow.constant)
    stems = [name.removesuffix("_quantized") for name in own if name.endswith("_quantized")]
    return tuple(dict.fromkeys([*own, *(f"{stem}_scale" for stem in stems if f"{stem}_scale" in flow.stored)]))
