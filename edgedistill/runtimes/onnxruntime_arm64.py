"""ONNX Runtime's build for 64-bit Arm under emulation: the kernels of a phone or board without the hardware.

int8 kernels differ between processors (instructions, rounding), so an int8 file that agrees with PyTorch here may not
do so there. Emulated files are never timed: cost is counted in instructions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.isolation.emulation.session import EmulatedGraph
from edgedistill.runtimes import onnxruntime

MACHINE = "aarch64"
PACKAGES = Packages(
    imports=onnxruntime.RUNTIME.packages.imports,
    requirements=onnxruntime.RUNTIME.packages.requirements,
    environment="onnxruntime-arm64",
    emulated=MACHINE,
)


def open(file: Path, threads: int, names: PortNames) -> EmulatedGraph:
    """Open `file` with `threads` threads.

    Raises:
        EdgedistillError: this is not an Arm process.
    """
    return EmulatedGraph(MACHINE, lambda: onnxruntime.open(file, threads, names))


RUNTIME = replace(onnxruntime.RUNTIME, packages=PACKAGES, open=open)
