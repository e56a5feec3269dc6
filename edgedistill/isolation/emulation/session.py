"""A runtime's graph on an emulated processor, with a check of where it runs."""

from __future__ import annotations

from collections.abc import Callable

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Graph
from edgedistill.isolation.emulation.guest import processor


class EmulatedGraph:
    """The graph that `opening` opens, after checking the processor, since libraries choose kernels when they are
    loaded.

    Raises:
        EdgedistillError: this is not a process on that machine.
    """

    def __init__(self, machine: str, opening: Callable[[], Graph]) -> None:
        self._processor = processor(machine)
        self._graph = opening()
        self.inputs, self.outputs = self._graph.inputs, self._graph.outputs

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """All outputs for one batch."""
        return self._graph.run(feeds)

    def backend(self) -> dict[str, object]:
        """The runtime's backend, and the processor that it ran on."""
        return {**self._graph.backend(), **self._processor}
