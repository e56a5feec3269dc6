"""What the inputs of a graph's products look like on real data: the sum of their products with themselves."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from edgedistill.arrays import Array, Arrays, Floats
from edgedistill.contracts import registry
from edgedistill.contracts.driver import Graph, PortNames
from edgedistill.device.decoding import LAYOUT, CachedDecoder
from edgedistill.quantizers._blocks import products_with_rows


def gram_matrices(source: Path, calibration: Sequence[Arrays]) -> dict[str, Floats]:
    """By constant matrix (K, N) of a product: (K, K) the sum of x xᵀ over all inputs x that it is multiplied with. A
    table (N, K) is one, if it is tied to a head.

    Args:
        calibration: inputs one by one. A graph with a cache reads each from its start.
    """
    import onnx

    from edgedistill.exporting.onnx_saving import save_model

    model = onnx.load(source)
    stored = {initializer.name for initializer in model.graph.initializer}
    matrices = {node.output[0]: node.input[1] for node in model.graph.node if node.op_type == "MatMul"}
    matrices |= products_with_rows(model.graph)
    inputs = {node.output[0]: node.input[0] for node in model.graph.node if node.output and node.output[0] in matrices}
    read = sorted({(matrix, inputs[output]) for output, matrix in matrices.items() if matrix in stored})
    values = {value for _, value in read}
    known = {port.name for port in (*model.graph.input, *model.graph.output)}
    model.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, sorted(values - known)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        save_model(model, file)
        graph = _Adding(registry.runtime("onnxruntime").open(file, 1, PortNames()), values)
        for arrays in calibration:
            if LAYOUT.past(0, "key") in graph.inputs:
                CachedDecoder(graph).advance(np.asarray(arrays[LAYOUT.tokens], np.int64))
            else:
                graph.run(arrays)
    found: dict[str, Floats] = {}  # layers that share weights read one matrix several times
    for matrix, value in read:
        found[matrix] = found.get(matrix, np.zeros(())) + graph.sums[value]
    return found


class _Adding:
    """A graph that adds up the products of some of its values with themselves."""

    def __init__(self, graph: Graph, values: Collection[str]) -> None:
        self._graph, self._values = graph, values
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.sums: dict[str, Floats] = {}

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """As the graph."""
        found = self._graph.run(feeds)
        for name in self._values:
            value: Floats = np.asarray(found.get(name, feeds.get(name)), np.float32)
            rows = value.reshape(-1, value.shape[-1])
            self.sums[name] = self.sums.get(name, np.zeros(())) + rows.T @ rows
        return found

    def backend(self) -> dict[str, object]:
        """As the graph."""
        return self._graph.backend()
