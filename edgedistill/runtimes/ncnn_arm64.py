"""ncnn for 64-bit Arm, emulated: see `onnxruntime_arm64`."""

from __future__ import annotations

from pathlib import Path

from edgedistill.contracts.driver import PortNames
from edgedistill.emulation.session import EmulatedGraph
from edgedistill.packages import Packages
from edgedistill.runtimes import ncnn
from edgedistill.runtimes.ncnn import SUFFIXES as SUFFIXES
from edgedistill.runtimes.ncnn import TARGETS as TARGETS
from edgedistill.runtimes.ncnn import version as version

MACHINE = "aarch64"
PACKAGES = Packages(
    imports=ncnn.PACKAGES.imports,
    requirements=ncnn.PACKAGES.requirements,
    environment="ncnn-arm64",
    emulated=MACHINE,
)


def open(file: Path, threads: int, names: PortNames) -> EmulatedGraph:
    """Open `file` with `threads` threads.

    Raises:
        EdgedistillError: this is not an Arm process.
    """
    return EmulatedGraph(MACHINE, lambda: ncnn.open(file, threads, names))
