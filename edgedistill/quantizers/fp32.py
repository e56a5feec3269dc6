"""fp32: the exported file as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

BYTES_PER_PARAMETER = 4.0
FILE = "model.onnx"
VERSION = 1


def quantize(source: Path, destination: Path) -> None:
    """Copy the fp32 file."""
    shutil.copyfile(source, destination)
