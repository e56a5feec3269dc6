"""LiteRT for 64-bit Arm, emulated: see `onnxruntime_arm64`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.isolation.emulation.session import EmulatedGraph
from edgedistill.runtimes import litert

MACHINE = "aarch64"
PACKAGES = Packages(
    imports=litert.RUNTIME.packages.imports,
    requirements=litert.RUNTIME.packages.requirements,
    environment="litert-arm64",
    emulated=MACHINE,
)


def open(file: Path, threads: int, names: PortNames) -> EmulatedGraph:
    """Open `file` with `threads` threads.

    Raises:
        EdgedistillError: this is not an Arm process.
    """
    return EmulatedGraph(MACHINE, lambda: litert.open(file, threads, names))


RUNTIME = replace(litert.RUNTIME, packages=PACKAGES, open=open)
