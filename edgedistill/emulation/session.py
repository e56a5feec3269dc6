"""A session that runs on an emulated processor: any runtime's own, with the proof of where it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .guest import processor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgedistill.interfaces import Inputs, Session


class EmulatedSession:
    """What `opening` opens, after a look at the processor: its libraries choose their kernels when they are loaded.

    Raises:
        EdgedistillError: this is not a process of that machine.
    """

    def __init__(self, machine: str, opening: Callable[[], Session]) -> None:
        self._machine = machine
        self._processor = processor(machine)
        self._session = opening()
        self.input_names: list[str] = self._session.input_names

    def run(self, inputs: Inputs) -> list[NDArray[np.generic]]:
        """All outputs for one batch."""
        return self._session.run(inputs)

    def backend(self) -> dict[str, object]:
        """What the runtime tells, and the processor that it ran on."""
        return {**self._session.backend(), **self._processor}
