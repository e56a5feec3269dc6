"""Opens a model's files as graphs for a driver."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Driver, Graph, MeasuresItself, PortNames, ReadsTexts
from edgedistill.contracts.items import Column
from edgedistill.device.buckets import Bucketed
from edgedistill.device.decoding import DecodesItself
from edgedistill.device.files import Files
from edgedistill.errors import EdgedistillError

Opening = Callable[[Path, int, PortNames], Graph]
"""A runtime's function: (file, threads, names) -> graph."""


class OpenedModel:
    """The graphs of a model's files.

    Raises:
        EdgedistillError: a component is missing, or a file does not have the expected outputs.
    """

    def __init__(self, files: Files, driver: Driver, opening: Opening, threads: int) -> None:
        if missing := [name for name in driver.components if name not in files]:
            raise EdgedistillError(
                f"the model has no component {', '.join(map(repr, missing))}, only {', '.join(files)}"
            )
        self._driver = driver
        self._graphs: dict[str, dict[int | None, Graph]] = {
            name: {length: opening(file, threads, files[name].names) for length, file in files[name].files.items()}
            for name in driver.components
        }
        self._named = {
            name: {length: with_outputs(graph, driver.outputs[name]) for length, graph in every.items()}
            for name, every in self._graphs.items()
        }

    def graphs(self, columns: Mapping[str, Column]) -> dict[str, Graph]:
        """By component, for items with these columns."""
        return {name: self._graph(every, columns) for name, every in self._named.items()}

    def backend(self) -> dict[str, object]:
        """The backend of the last component's largest file, after checking that of all files."""
        every = [dict(sorted(graphs.items(), key=lambda pair: pair[0] or 0)) for graphs in self._graphs.values()]
        return [graph.backend() for graphs in every for graph in graphs.values()][-1]

    def ports(self) -> dict[str, dict[str, dict[str, tuple[str, Sequence[int | None] | None]]]]:
        """Types and shapes of the inputs and outputs of every component's largest file, as plain data."""
        largest = {name: max(every.items(), key=lambda pair: pair[0] or 0)[1] for name, every in self._named.items()}
        return {
            name: {
                "inputs": {port: (tensor.dtype, tensor.shape) for port, tensor in graph.inputs.items()},
                "outputs": {port: (tensor.dtype, tensor.shape) for port, tensor in graph.outputs.items()},
            }
            for name, graph in largest.items()
        }

    def reader(self) -> ReadsTexts | None:
        """The tokenizer contained in the files, or None."""
        return next((graph for graph in self._every() if isinstance(graph, ReadsTexts)), None)

    def longest(self) -> int | None:
        """The context length, if a runtime with its own cache reports it; otherwise None."""
        return min((graph.longest for graph in self._every() if isinstance(graph, DecodesItself)), default=None)

    def clock(self) -> Callable[[], float]:
        """Elapsed milliseconds, or those reported by graphs that measure themselves."""
        if own := self.measuring_themselves():
            return lambda: sum(graph.spent_ms for graph in own)
        return lambda: 1e3 * time.perf_counter()

    def measuring_themselves(self) -> list[MeasuresItself]:
        """All graphs if their runtime measures itself, otherwise none."""
        return [graph for graph in self._every() if isinstance(graph, MeasuresItself)]

    def _every(self) -> Iterator[Graph]:
        for every in self._graphs.values():
            yield from every.values()

    def _graph(self, every: Mapping[int | None, Graph], columns: Mapping[str, Column]) -> Graph:
        buckets = {length: graph for length, graph in every.items() if length is not None}
        return Bucketed(buckets, columns, self._driver.token_axes) if buckets else every[None]


def with_outputs(graph: Graph, names: Sequence[str]) -> Graph:
    """A graph with outputs under these names. If there is only one output on both sides, its name does not matter.

    Raises:
        EdgedistillError: one of several outputs is missing.
    """
    if set(names) <= set(graph.outputs):
        return graph
    if len(names) == len(graph.outputs) == 1:
        return _Renamed(graph, names[0])
    given = ", ".join(map(repr, graph.outputs))
    raise EdgedistillError(f"the file returns {given}, expected {', '.join(map(repr, names))}")


class _Renamed:
    """A graph with one output, renamed."""

    def __init__(self, graph: Graph, name: str) -> None:
        (port,) = graph.outputs.values()
        self._graph, self._name = graph, name
        self.inputs, self.outputs = graph.inputs, {name: port}

    def run(self, feeds: Arrays) -> dict[str, Array]:
        (array,) = self._graph.run(feeds).values()
        return {self._name: array}

    def backend(self) -> dict[str, object]:
        return self._graph.backend()
