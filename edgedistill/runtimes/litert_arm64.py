"""LiteRT for 64-bit Arm, emulated: see `onnxruntime_arm64`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgedistill.emulation.session import EmulatedSession
from edgedistill.packages import Packages
from edgedistill.runtimes import litert

MACHINE = "aarch64"
PACKAGES = Packages(
    imports=litert.RUNTIME.packages.imports,
    requirements=litert.RUNTIME.packages.requirements,
    environment="litert-arm64",
    emulated=MACHINE,
)


def open(file: Path, threads: int) -> EmulatedSession:
    """Open `file` with `threads` threads.

    Raises:
        EdgedistillError: this is not an Arm process.
    """
    return EmulatedSession(MACHINE, lambda: litert.open(file, threads))


RUNTIME = replace(litert.RUNTIME, packages=PACKAGES, open=open)
