"""MNN on the CPU, for `.mnn` files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError
from edgedistill.packages import Packages

MARK = "edgedistill-"
"""Before the precision, in the field of a file that MNN leaves to its maker."""

_HIGH = 1  # precision: fp32 arithmetic
_NORMAL, _LOW = 0, 2  # memory: int8 weights are made fp32 when the file is loaded, or multiplied as they are
_PROBE = 8


class _Variable(Protocol):
    """An array of MNN's, or the description of an input."""

    shape: list[int]
    dtype: object

    def read(self) -> NDArray[np.generic]: ...


class _Info(TypedDict):
    bizCode: str
    inputNames: list[str]
    inputs: list[_Variable]


class _Module(Protocol):
    """What is used of MNN's own, which tells no types."""

    def get_info(self) -> _Info: ...

    def onForward(self, inputs: list[_Variable]) -> list[_Variable]: ...  # noqa: N802


class MNNSession:
    """A file opened by MNN. Arithmetic is in fp32; int8 weights are multiplied as they are, with activations quantized
    as they come. MNN takes these settings by their numbers: a name for the memory is read as none."""

    def __init__(self, file: Path, threads: int) -> None:
        import MNN.expr

        self._expr = MNN.expr
        self._file, self._threads = file, threads
        self._module = _load(file, threads, _LOW)
        info = self._module.get_info()
        self._mark = str(info["bizCode"])
        self.input_names: list[str] = list(info["inputNames"])
        self._inputs = info["inputs"]

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """All outputs for one batch; inputs that the file doesn't have are left out."""
        return self._run(self._module, inputs)

    def _run(self, module: _Module, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        given = []
        for name, kind in zip(self.input_names, self._inputs, strict=True):
            floats = kind.dtype == self._expr.float
            array = np.ascontiguousarray(inputs[name], dtype=np.float32 if floats else np.int32)
            given.append(self._expr.const(array, list(array.shape), self._expr.NCHW, kind.dtype))
        outputs = [self._expr.convert(each, self._expr.NCHW) for each in module.onForward(given)]
        if not outputs:
            raise EdgedistillError("MNN gave no outputs")
        return [np.array(each.read()).reshape(each.shape) for each in outputs]

    def backend(self) -> dict[str, object]:
        """What activations are multiplied in. MNN does not tell; but where it quantizes them, answers differ from those
        of the same file with its weights made fp32, and else they are the same to the last bit.

        Raises:
            EdgedistillError: the file was made for int8 activations and they stay fp32, or the other way round.
        """
        width = next((size for kind in self._inputs for size in kind.shape[1:] if size > 0), _PROBE)
        probe = {name: np.ones((1, width), np.int64) for name in self.input_names}
        plain = self._run(_load(self._file, self._threads, _NORMAL), probe)
        same = all(np.array_equal(a, b) for a, b in zip(plain, self.run(probe), strict=True))
        activations = "fp32" if same else "int8"
        meant = self._mark.removeprefix(MARK) if self._mark.startswith(MARK) else None
        if meant is not None and (meant == "int8-dynamic") == same:
            raise EdgedistillError(f"MNN multiplies activations in {activations}, the file was made as {meant}")
        return {"backend": "CPU", "precision": "high", "activations": activations, "threads": self._threads}


def _load(file: Path, threads: int, memory: int) -> _Module:
    import MNN.nn

    settings = {"backend": "CPU", "numThread": threads, "precision": _HIGH, "memory": memory}
    manager = MNN.nn.create_runtime_manager((settings,))
    module: _Module = MNN.nn.load_module_from_file(str(file), [], [], runtime_manager=manager)
    return module


def open(file: Path, threads: int) -> MNNSession:
    """Open `file` with `threads` threads."""
    return MNNSession(file, threads)


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
