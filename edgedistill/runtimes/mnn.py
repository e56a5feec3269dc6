"""MNN on the CPU, for `.mnn` files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Port, PortNames, feeds_of
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError

MARK = "edgedistill-"
"""Prefix of the precision in a file's user-defined field."""

_HIGH = 1  # precision: fp32 arithmetic
_NORMAL, _LOW = 0, 2  # memory: int8 weights are converted to fp32 on loading, or used directly
_PROBE = 8


class _Variable(Protocol):
    """An MNN array, or the description of an input."""

    shape: list[int]
    dtype: object

    def read(self) -> Array: ...


class _Info(TypedDict):
    bizCode: str
    inputNames: list[str]
    inputs: list[_Variable]


class _Module(Protocol):
    """The used part of MNN, which has no type annotations."""

    def get_info(self) -> _Info: ...

    def onForward(self, inputs: list[_Variable]) -> list[_Variable]: ...  # noqa: N802


class MNNGraph:
    """A file opened by MNN. Arithmetic is in fp32; int8 weights are used directly, with dynamically quantized
    activations. MNN needs these settings as numbers: a name for the memory mode is ignored."""

    def __init__(self, file: Path, threads: int, outputs: Sequence[str]) -> None:
        import MNN.expr

        self._expr = MNN.expr
        self._file, self._threads = file, threads
        self._names = tuple(outputs)
        self._module = self._load(_LOW)
        info = self._module.get_info()
        self._mark = str(info["bizCode"])
        self._kinds = info["inputs"]
        self.inputs = {
            name: Port("float32" if kind.dtype == MNN.expr.float else "int32", [_size(size) for size in kind.shape])
            for name, kind in zip(info["inputNames"], self._kinds, strict=True)
        }
        # MNN reports neither sizes nor types of outputs before computing them.
        self.outputs = {name: Port("float32", None) for name in self._names}

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """All outputs for one batch; inputs that the file does not have are dropped."""
        return self._run(self._module, feeds)

    def _run(self, module: _Module, feeds: Arrays) -> dict[str, Array]:
        given = [
            self._expr.const(array, list(array.shape), self._expr.NCHW, kind.dtype)
            for array, kind in zip(feeds_of(self.inputs, feeds).values(), self._kinds, strict=True)
        ]
        found = [self._expr.convert(output, self._expr.NCHW) for output in module.onForward(given)]
        if len(found) != len(self._names):
            raise EdgedistillError(f"MNN returned {len(found)} outputs, expected {', '.join(map(repr, self._names))}")
        return {
            name: np.array(output.read()).reshape(output.shape) for name, output in zip(self._names, found, strict=True)
        }

    def _load(self, memory: int) -> _Module:
        """The file, with its outputs in the order of the requested names."""
        import MNN.nn

        settings = {"backend": "CPU", "numThread": self._threads, "precision": _HIGH, "memory": memory}
        manager = MNN.nn.create_runtime_manager((settings,))
        module: _Module = MNN.nn.load_module_from_file(str(self._file), [], list(self._names), runtime_manager=manager)
        return module

    def backend(self) -> dict[str, object]:
        """The arithmetic of activations. MNN does not report it; but if it quantizes them, answers differ from those of
        the same file with fp32 weights, and otherwise they are equal to the last bit.

        Raises:
            EdgedistillError: the file is for int8 activations and they stay fp32, or vice versa.
        """
        sizes = {name: list(port.shape or ())[1:] for name, port in self.inputs.items()}
        width = next((size for own in sizes.values() for size in own if size is not None), _PROBE)
        probe = {name: np.ones([1, *(size or width for size in own)], np.int64) for name, own in sizes.items()}
        plain, own = self._run(self._load(_NORMAL), probe), self.run(probe)
        same = all(np.array_equal(plain[name], own[name]) for name in own)
        activations = "fp32" if same else "int8"
        meant = self._mark.removeprefix(MARK) if self._mark.startswith(MARK) else None
        if meant is not None and (meant == "int8-dynamic") == same:
            raise EdgedistillError(f"MNN computes activations in {activations}, but the file is for {meant}")
        return {"backend": "CPU", "precision": "high", "activations": activations, "threads": self._threads}


def _size(size: int) -> int | None:
    """MNN represents dynamic sizes by numbers below 1."""
    return size if size > 0 else None


def open(file: Path, threads: int, names: PortNames) -> MNNGraph:
    """Open `file` with `threads` threads."""
    return MNNGraph(file, threads, names.outputs)


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("MNN")


RUNTIME = Runtime(
    api=1,
    targets=("mnn",),
    suffixes=(".mnn",),
    packages=Packages(imports=("MNN",), requirements=("MNN>=3.6.1",), environment="mnn"),
    open=open,
    version=version,
)
