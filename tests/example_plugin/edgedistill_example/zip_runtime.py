"""A runtime: unpacks the file and has ONNX Runtime open it. The measuring process imports it: numpy only."""

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
