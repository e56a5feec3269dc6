"""A runtime: unpacks the file and opens it with ONNX Runtime. Imported by the measuring process, so numpy only."""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

from edgedistill.contracts.driver import Graph, PortNames
from edgedistill.runtimes import onnxruntime
from edgedistill_example.zip_target import MEMBER


def open(file: Path, threads: int, names: PortNames) -> Graph:
    """Open `file` with `threads` threads; unpacking counts as loading."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(file) as archive:
        return onnxruntime.open(Path(archive.extract(MEMBER, folder)), threads, names)


RUNTIME = replace(onnxruntime.RUNTIME, targets=("onnx-zip",), suffixes=(".zip",), open=open)
