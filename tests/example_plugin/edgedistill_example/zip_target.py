"""A target: the ONNX file in a zip archive, for download."""

from __future__ import annotations

import zipfile
from pathlib import Path

from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import FileRequest, MadeFile, Target

MEMBER = "model.onnx"


def make(request: FileRequest, file: Path) -> MadeFile:
    """Compress the file of the target `onnx`, which the plan exports first."""
    assert request.source is not None, "every precision is made from another file"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(request.source, MEMBER)
    return MadeFile(facts={"unpacked_bytes": request.source.stat().st_size})


TARGET = Target(
    api=1,
    version=1,
    precisions={
        name: Precision(file=f"model_{name}.onnx.zip", bytes_per_parameter=size, made_of=("onnx", name))
        for name, size in (("fp32", 3.7), ("int8-dynamic", 0.9))
    },
    runtimes=("zip-runtime",),
    packages=Packages(imports=("onnxruntime",)),
    make=make,
)
