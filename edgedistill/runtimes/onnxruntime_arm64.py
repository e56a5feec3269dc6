"""ONNX Runtime's build for 64-bit Arm, emulated: the kernels that a phone or a board runs, without one.

int8 kernels differ between processors (other instructions, other rounding), so an int8 file that agrees with torch here
need not do so there. What is emulated is never timed: its cost is counted in instructions.
"""

from __future__ import annotations

from edgedistill.isolation.emulation.session import on_arm
from edgedistill.runtimes import onnxruntime

RUNTIME = on_arm(onnxruntime.RUNTIME, "onnxruntime-arm64")
