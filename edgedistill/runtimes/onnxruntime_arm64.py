"""ONNX Runtime's build for 64-bit Arm under emulation: the kernels of a phone or board without the hardware.

int8 kernels differ between processors (instructions, rounding), so an int8 file that agrees with PyTorch here may not
do so there. Emulated files are never timed: cost is counted in instructions.
"""

from __future__ import annotations

from edgedistill.isolation.emulation.session import on_arm
from edgedistill.runtimes import onnxruntime

RUNTIME = on_arm(onnxruntime.RUNTIME, "onnxruntime-arm64")
