"""ExecuTorch for 64-bit Arm, emulated: see `onnxruntime_arm64`. Uses the C++ runtime directly, since the wheel's Python
binding needs torch, whose Arm build on PyPI needs CUDA."""

from __future__ import annotations

from dataclasses import replace

from edgedistill.contracts.packages import Packages
from edgedistill.isolation.emulation.session import on_arm
from edgedistill.runtimes import executorch
from edgedistill.runtimes._executorch.native import EXTENSION, NativeGraph

_OWN = next(line for line in executorch.RUNTIME.packages.requirements if line.startswith("executorch"))
_PACKAGES = Packages(
    imports=("executorch", "flatbuffers"),
    requirements=("flatbuffers>=25",),
    without_dependencies=(_OWN,),
    extensions=(EXTENSION,),
)

RUNTIME = on_arm(replace(executorch.RUNTIME, packages=_PACKAGES, open=NativeGraph), "executorch-arm64")
