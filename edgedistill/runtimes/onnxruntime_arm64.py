"""ONNX Runtime's build for 64-bit Arm, emulated: the kernels that a phone or a board runs, without one.

int8 kernels differ between processors (other instructions, other rounding), so an int8 file that agrees with torch here
need not do so there. What is emulated is never timed: its cost is counted in instructions.
"""

from __future__ import annotations

from pathlib import Path

from edgedistill.emulation.guest import processor
from edgedistill.interfaces import Packages
from edgedistill.runtimes.onnxruntime import SUFFIXES as SUFFIXES
from edgedistill.runtimes.onnxruntime import TARGETS as TARGETS
from edgedistill.runtimes.onnxruntime import OnnxRuntimeSession
from edgedistill.runtimes.onnxruntime import version as version

MACHINE = "aarch64"
PACKAGES = Packages(
    imports=("onnxruntime",),
    requirements=("onnxruntime>=1.32",),
    environment="onnxruntime-arm64",
    emulated=MACHINE,
)


class Arm64Session(OnnxRuntimeSession):
    """A file opened by the Arm build."""

    def __init__(self, file: Path, threads: int) -> None:
        processor(MACHINE)
        super().__init__(file, threads)

    def backend(self) -> dict[str, object]:
        """The execution providers, and the processor that they ran on."""
        return {**super().backend(), **processor(MACHINE)}


def open(file: Path, threads: int) -> Arm64Session:
    """Open `file` with `threads` threads.

    Raises:
        EdgedistillError: this is not an Arm process.
    """
    return Arm64Session(file, threads)
