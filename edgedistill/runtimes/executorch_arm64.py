"""ExecuTorch for 64-bit Arm, emulated: see `onnxruntime_arm64`. Uses the C++ runtime directly, since the wheel's Python
binding needs torch, whose Arm build on PyPI needs CUDA."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.isolation.emulation.session import EmulatedGraph
from edgedistill.runtimes import executorch
from edgedistill.runtimes._executorch.native import EXTENSION, NativeGraph

MACHINE = "aarch64"
_OWN = next(line for line in executorch.RUNTIME.packages.requirements if line.startswith("executorch"))
PACKAGES = Packages(
    imports=("executorch", "flatbuffers"),
    requirements=("flatbuffers>=25",),
    without_dependencies=(_OWN,),
    extensions=(EXTENSION,),
    environment="executorch-arm64",
    emulated=MACHINE,
)


def open(file: Path, threads: int, names: PortNames) -> EmulatedGraph:
    """Open `file` with `threads` threads.

    Raises:
        EdgedistillError: this is not an Arm process.
    """
    return EmulatedGraph(MACHINE, lambda: NativeGraph(file, threads, names))


RUNTIME = replace(executorch.RUNTIME, packages=PACKAGES, open=open)
