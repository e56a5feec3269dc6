"""LiteRT for 64-bit Arm, emulated: see `onnxruntime_arm64`."""

from __future__ import annotations

from pathlib import Path

from edgedistill.emulation.session import EmulatedSession
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


def open(file: Path, threads: int) -> EmulatedSession:
    """Open `file` with `threads` threads.

    Raises:
        EdgedistillError: this is not an Arm process.
    """
    return EmulatedSession(MACHINE, lambda: litert.open(file, threads))
