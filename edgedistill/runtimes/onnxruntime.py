"""ONNX Runtime on the CPU, for `.onnx` and for its own mobile format `.ort`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError
from edgedistill.packages import Packages

PROVIDER = "CPUExecutionProvider"
_TYPES: Mapping[str, type[np.generic]] = {"tensor(int32)": np.int32}


class OnnxRuntimeSession:
    """A file opened by ONNX Runtime."""

    def __init__(self, file: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(file, options, providers=[PROVIDER])
        # Some exporters make files of 32-bit ids; all that we are given is int64.
        self._types = {each.name: _TYPES.get(each.type) for each in self._session.get_inputs()}
        self.input_names: list[str] = list(self._types)

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """All outputs for one batch; inputs that the file doesn't have are left out."""
        feeds = {name: inputs[name] for name in self.input_names}
        for name, kind in self._types.items():
            if kind is not None:
                feeds[name] = feeds[name].astype(kind)
        outputs: list[NDArray[np.generic]] = self._session.run(None, feeds)
        return outputs

    def backend(self) -> dict[str, object]:
        """The execution providers; one that isn't there only warns when it is asked for, and the CPU runs instead."""
        providers = self._session.get_providers()
        if providers != [PROVIDER]:
            raise EdgedistillError(f"ONNX Runtime runs the file by {', '.join(providers)}, expected {PROVIDER}")
        return {"providers": providers}


def open(file: Path, threads: int) -> OnnxRuntimeSession:
    """Open `file` with `threads` threads."""
    return OnnxRuntimeSession(file, threads)


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("onnxruntime")


RUNTIME = Runtime(
    api=1,
    targets=("onnx", "ort-mobile"),
    suffixes=(".onnx", ".ort"),
    packages=Packages(imports=("onnxruntime",), requirements=("onnxruntime>=1.32",)),
    open=open,
    version=version,
)
