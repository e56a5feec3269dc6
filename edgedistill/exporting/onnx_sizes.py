"""Where the bytes of an ONNX file are: in its embeddings, attention, feed-forward layers, head, or elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts.precision import PARTS
from edgedistill.exporting.onnx_parts import matrices

if TYPE_CHECKING:
    import onnx

GRAPH = "graph"
"""All else: operators, biases, norms, and matrices that belong to no part."""


def bytes_by_part(file: Path) -> dict[str, int]:
    """Bytes of each part's matrices with their scales and zero points; with `GRAPH` they add up to the file and its
    external weights. A matrix of several parts counts once, for the first."""
    import onnx

    graph = onnx.load(file, load_external_data=False).graph
    sizes = {initializer.name: _bytes(initializer) for initializer in graph.initializer}
    found: dict[str, int] = dict.fromkeys(PARTS, 0)
    for matrix in matrices(graph):
        if matrix.part is not None:
            found[matrix.part] += sum(sizes.pop(name, 0) for name in matrix.weights)
    total = file.stat().st_size + sum((file.parent / name).stat().st_size for name in set(_external(graph)))
    return {**found, GRAPH: total - sum(found.values())}


def _bytes(initializer: onnx.TensorProto) -> int:
    """Of the values, wherever they are stored."""
    import onnx

    if initializer.HasField("raw_data"):
        return len(initializer.raw_data)
    kind = onnx.helper.tensor_dtype_to_np_dtype(initializer.data_type)
    return math.prod(initializer.dims) * int(kind.itemsize)


def _external(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of the files with weights."""
    for initializer in graph.initializer:
        yield from (entry.value for entry in initializer.external_data if entry.key == "location")
