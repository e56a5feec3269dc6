"""One graph over files of fixed lengths: every input goes to the smallest that holds it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Graph
from edgedistill.contracts.items import Column
from edgedistill.errors import EdgedistillError


class Bucketed:
    """Pads its feeds as the items' columns say, runs, and cuts off what the outputs have for the padding. The padding's
    work is the candidate's.

    Args:
        graphs: by length.
        columns: the items' own.
        token_axes: which axis runs over tokens, of outputs and of states between the calls (`Driver.token_axes`).
    """

    def __init__(
        self, graphs: Mapping[int, Graph], columns: Mapping[str, Column], token_axes: Mapping[str, int]
    ) -> None:
        self._graphs = dict(sorted(graphs.items()))
        largest = list(self._graphs.values())[-1]
        self.inputs, self.outputs = largest.inputs, largest.outputs
        sequences = {name: column for name, column in columns.items() if column.layout == "sequence"}
        self._axes = {**token_axes, **dict.fromkeys(sequences, 1)}
        self._pads = {name: column.pad for name, column in sequences.items()}
        self._left = any(column.side == "left" for column in sequences.values() if column.role == "input")

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """Outputs for one batch; those with an axis for tokens have the feeds' own length.

        Raises:
            EdgedistillError: an input longer than the largest bucket.
        """
        axes = {name: self._axes[name] for name in self.inputs if name in self._axes and name in feeds}
        length = max((feeds[name].shape[axis] for name, axis in axes.items()), default=0)
        bucket = next((size for size in self._graphs if size >= length), None)
        if bucket is None:
            largest = max(self._graphs)
            raise EdgedistillError(f"an input of {length} tokens is longer than the largest file, of {largest}")
        graph = self._graphs[bucket]
        padded = {name: self._padded(name, feeds[name], axis, graph, bucket) for name, axis in axes.items()}
        outputs = graph.run({**feeds, **padded})
        return {
            name: _cut(array, self._axes[name], length, self._left) if name in self._axes else array
            for name, array in outputs.items()
        }

    def backend(self) -> dict[str, object]:
        """That of the largest file; all are asked, since each must run where it should."""
        return [graph.backend() for graph in self._graphs.values()][-1]

    def _padded(self, name: str, array: Array, axis: int, graph: Graph, bucket: int) -> Array:
        """To what the file takes there: its length, or one token where it takes one at a time."""
        shape = graph.inputs[name].shape
        size = bucket if shape is None else shape[axis]
        missing = (bucket if size is None else size) - array.shape[axis]
        if missing <= 0:
            return array
        widths = [(0, 0)] * array.ndim
        widths[axis] = (missing, 0) if self._left else (0, missing)
        return np.pad(array, widths, constant_values=self._pads.get(name, 0))


def _cut(array: Array, axis: int, length: int, left: bool) -> Array:
    """The part of an output that is the input's own."""
    size = array.shape[axis]
    if size <= length:
        return array
    kept = [slice(None)] * array.ndim
    kept[axis] = slice(size - length, size) if left else slice(0, length)
    return array[tuple(kept)]
