"""A runtime's graph on an emulated processor, with a check of where it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Graph, PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime
from edgedistill.isolation.emulation.guest import processor

_MACHINE = "aarch64"


def on_arm(runtime: Runtime, environment: str) -> Runtime:
    """The build of a runtime for 64-bit Arm, emulated, in an environment of its own.

    Its `open` raises EdgedistillError where the process is no Arm process.
    """
    own = runtime.packages
    packages = Packages(
        imports=own.imports,
        requirements=own.requirements,
        without_dependencies=own.without_dependencies,
        extensions=own.extensions,
        environment=environment,
        emulated=_MACHINE,
    )

    def opened(file: Path, threads: int, names: PortNames) -> EmulatedGraph:
        return EmulatedGraph(_MACHINE, lambda: runtime.open(file, threads, names))

    return replace(runtime, packages=packages, open=opened)


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
