"""A target of fixed shapes for the tests, as a third party would plug it in: the ONNX file itself, cut to buckets, and
precisions that go wrong in every way that a real target's may."""

from __future__ import annotations

import os
import shutil
import time

from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import MadeFile, Target
from edgedistill.errors import EdgedistillError, RefusedError

PRECISIONS = {
    name: Precision(file=f"model_{name}.toy", bytes_per_parameter=4.0, made_of=("onnx", "fp32"))
    for name in ("fp32", "aborts", "hangs", "refuses", "garbage", "dies-later", "elsewhere")
}
PACKAGES = Packages(imports=("onnxruntime",))


def make(request, file):
    assert request.fixed
    assert request.length is not None
    match request.precision:
        case "aborts":
            print("about to abort", file=__import__("sys").stderr, flush=True)
            os.abort()
        case "hangs":
            time.sleep(600)
        case "refuses":
            raise RefusedError("target toy: this cannot be expressed")
        case "garbage":
            file.write_bytes(b"no model")
            return MadeFile()
    shutil.copyfile(request.source, file)
    file.with_suffix(".notes").write_text("for whoever builds it")
    return MadeFile(build_files=(file.with_suffix(".notes").name,), facts={"length": request.length})


TARGET = Target(
    api=1,
    version=1,
    precisions=PRECISIONS,
    runtimes=("toy-runtime",),
    packages=PACKAGES,
    make=make,
    fixed_shapes=True,
    isolated=True,
)


class Graph:
    def __init__(self, file, threads, names):
        from edgedistill.runtimes import onnxruntime

        self.inner = onnxruntime.open(file, threads, names)
        self.inputs, self.outputs = self.inner.inputs, self.inner.outputs
        self.length = int(file.stem.rsplit("-", 1)[1])
        self.file = file

    def run(self, feeds):
        shapes = {feeds[name].shape for name in self.inputs}
        assert shapes == {(1, self.length)}, f"{shapes} in a file for {self.length}"
        if "dies-later" in self.file.name:
            os.abort()
        return self.inner.run(feeds)

    def backend(self):
        if "elsewhere" in self.file.name:
            raise EdgedistillError("the toy runs on another backend, expected its own")
        return {"ran": "toy"}
