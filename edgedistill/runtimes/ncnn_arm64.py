"""ncnn for 64-bit Arm, emulated: see `onnxruntime_arm64`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.isolation.emulation.session import EmulatedGraph
from edgedistill.runtimes import ncnn

MACHINE = "aarch64"
PACKAGES = Packages(
    imports=ncnn.RUNTIME.packages.imports,
    requirements=ncnn.RUNTIME.packages.requirements,
    environment="ncnn-arm64",
    emulated=MACHINE,
)


def open(file: Path, threads: int, names: PortNames) -> EmulatedGraph:
    """Open `file` with `threads` threads.

    Raises:
        EdgedistillError: this is not an Arm process.
    """
    return EmulatedGraph(MACHINE, lambda: ncnn.open(file, threads, names))


RUNTIME = replace(ncnn.RUNTIME, packages=PACKAGES, open=open)
