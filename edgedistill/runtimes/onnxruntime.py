"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TARGETS = ("onnx",)
REQUIRES = ("onnxruntime",)
INSTALL = "pip install onnxruntime"
SUFFIXES = (".onnx",)


class OnnxRuntimeSession:
    """A file opened by ONNX Runtime."""

    def __init__(self, file: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.input_names: list[str] = [each.name for each in self._session.get_inputs()]

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """All outputs for one batch; inputs that the file doesn't have are left out."""
        outputs: list[NDArray[np.generic]] = self._session.run(None, {name: inputs[name] for name in self.input_names})
        return outputs


def open(file: Path, threads: int) -> OnnxRuntimeSession:
    """Open `file` with `threads` threads."""
    return OnnxRuntimeSession(file, threads)


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("onnxruntime")
