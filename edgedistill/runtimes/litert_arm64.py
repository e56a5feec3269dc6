"""LiteRT for 64-bit Arm, emulated: see `onnxruntime_arm64`."""

from __future__ import annotations

from pathlib import Path

from edgedistill.contracts.driver import PortNames
from edgedistill.emulation.session import EmulatedGraph
from edgedistill.packages import Packages
from edgedistill.runtimes import litert
from edgedistill.runtimes.litert import SUFFIXES as SUFFIXES
from edgedistill.runtimes.litert import TARGETS as TARGETS
from edgedistill.runtimes.litert import version as version

MACHINE = "aarch64"
PACKAGES = Packages(
    imports=litert.PACKAGES.imports,
    requirements=litert.PACKAGES.requirements,
    environment="litert-arm64",
    emulated=MACHINE,
)


def open(file: Path, threads: int, names: PortNames) -> EmulatedGraph:
    """Open `file` with `threads` threads.

    Raises:
        EdgedistillError: this is not an Arm process.
    """
    return EmulatedGraph(MACHINE, lambda: litert.open(file, threads, names))
