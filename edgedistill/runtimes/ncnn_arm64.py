"""ncnn for 64-bit Arm, emulated: see `onnxruntime_arm64`."""

from __future__ import annotations

from edgedistill.isolation.emulation.session import on_arm
from edgedistill.runtimes import ncnn

RUNTIME = on_arm(ncnn.RUNTIME, "ncnn-arm64")
