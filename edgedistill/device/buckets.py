"""One graph over files of fixed lengths: each input goes to the smallest that fits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Graph
from edgedistill.contracts.items import Column
from edgedistill.errors import EdgedistillError


class Bucketed:
    """Pads inputs as the items' columns declare, runs, and removes the padding from outputs. The cost of padding counts
    towards the candidate.

    Args:
        graphs: by length.
        columns: the items' own.
        token_axes: the token axis of outputs and of states between calls (`Driver.token_axes`).
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
        """Outputs for one batch; those with a token axis have the inputs' length.

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
        """The backend of the largest file, after checking that of all files."""
        return [graph.backend() for graph in self._graphs.values()][-1]

    def _padded(self, name: str, array: Array, axis: int, graph: Graph, bucket: int) -> Array:
        """Pad to the file's input size: its length, or one token if it takes one at a time."""
        shape = graph.inputs[name].shape
        size = bucket if shape is None else shape[axis]
        missing = (bucket if size is None else size) - array.shape[axis]
        if missing <= 0:
            return array
        widths = [(0, 0)] * array.ndim
        widths[axis] = (missing, 0) if self._left else (0, missing)
        return np.pad(array, widths, constant_values=self._pads.get(name, 0))


def _cut(array: Array, axis: int, length: int, left: bool) -> Array:
    """The part of an output that belongs to the input."""
    size = array.shape[axis]
    if size <= length:
        return array
    kept = [slice(None)] * array.ndim
    kept[axis] = slice(size - length, size) if left else slice(0, length)
    return array[tuple(kept)]
