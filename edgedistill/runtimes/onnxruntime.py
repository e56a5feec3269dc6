"""ONNX Runtime on the CPU, for `.onnx` and for its own mobile format `.ort`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Port, PortNames, feeds_of
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError

PROVIDER = "CPUExecutionProvider"
_TYPES: Mapping[str, str] = {"float": "float32", "double": "float64"}
"""Its type names that differ from numpy's."""


class OnnxRuntimeGraph:
    """A file opened by ONNX Runtime."""

    def __init__(self, file: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(file, options, providers=[PROVIDER])
        self.inputs = _ports(self._session.get_inputs())
        self.outputs = _ports(self._session.get_outputs())

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """All outputs for one batch; inputs that the file does not have are dropped."""
        given: list[Array] = self._session.run(None, feeds_of(self.inputs, feeds))
        return dict(zip(self.outputs, given, strict=True))

    def backend(self) -> dict[str, object]:
        """The execution providers; ONNX Runtime only warns about a missing one and falls back to the CPU."""
        providers = self._session.get_providers()
        if providers != [PROVIDER]:
            raise EdgedistillError(f"ONNX Runtime runs the file with {', '.join(providers)}, expected {PROVIDER}")
        return {"providers": providers}


class _Value(Protocol):
    """ONNX Runtime's description of an input or output."""

    name: str
    type: str
    shape: list[object]


def _ports(values: Sequence[_Value]) -> dict[str, Port]:
    return {
        value.name: Port(_dtype(value.type), [size if isinstance(size, int) else None for size in value.shape])
        for value in values
    }


def _dtype(kind: str) -> str:
    """`tensor(float)` is numpy's `float32`."""
    inner = kind.removeprefix("tensor(").removesuffix(")")
    return _TYPES.get(inner, inner)


def open(file: Path, threads: int, names: PortNames) -> OnnxRuntimeGraph:
    """Open `file` with `threads` threads; its format has names."""
    return OnnxRuntimeGraph(file, threads)


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("onnxruntime")


RUNTIME = Runtime(
    api=1,
    targets=("onnx", "onnx-fused", "ort-mobile"),
    suffixes=(".onnx", ".ort"),
    packages=Packages(imports=("onnxruntime",), requirements=("onnxruntime>=1.32",)),
    open=open,
    version=version,
)
