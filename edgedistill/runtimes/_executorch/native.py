"""ExecuTorch's C++ runtime as `program.cpp` gives it to Python."""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Port, PortNames, named
from edgedistill.contracts.packages import Extension
from edgedistill.errors import EdgedistillError
from edgedistill.runtimes.executorch import TYPES, arguments, delegation, port

_PACKAGE = Path("executorch")
EXTENSION = Extension(
    source=Path(__file__).with_name("program.cpp"),
    file="edgedistill_executorch.so",
    # What the wheel's own CMake configuration asks for.
    definitions=("C10_USING_CUSTOM_GENERATED_MACROS", "ET_EVENT_TRACER_ENABLED"),
    headers=(_PACKAGE / "include", _PACKAGE / "include/executorch/runtime/core/portable_type/c10"),
    folder=_PACKAGE / "lib",
    libraries=(
        "executorch",
        "executorch_backend_xnnpack",
        "executorch_kernels_optimized",
        "executorch_kernels_quantized",
        "executorch_threadpool",
    ),
)
_Sizes = ctypes.POINTER(ctypes.c_int32)


class NativeGraph:
    """A program opened by ExecuTorch's C++ runtime."""

    def __init__(self, file: Path, threads: int, names: PortNames) -> None:
        self._file = file
        self._library = _load()
        self._program = ctypes.c_void_p()
        opened = ctypes.byref(self._program)
        self._check(self._library.program_open(str(file).encode(), ctypes.c_uint32(threads), opened))
        self._threads = int(self._library.program_threads())
        taken = [self._input(index) for index in range(self._library.program_inputs(self._program))]
        self.inputs = named(names.inputs, taken, "inputs")
        # Nothing is told of outputs before there are some.
        self.outputs = {name: Port("float32", None) for name in names.outputs}

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """All outputs for one batch; inputs that the file does not have are dropped.

        Raises:
            EdgedistillError: a larger input than the file has room for, or the program failed.
        """
        arrays = arguments(self.inputs, feeds)
        sizes = [size for array in arrays for size in array.shape]
        data = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        self._check(self._library.program_run(self._program, data, (ctypes.c_int32 * len(sizes))(*sizes)))
        found = [self._output(index) for index in range(self._library.program_outputs(self._program))]
        if len(found) != len(self.outputs):
            told = ", ".join(map(repr, self.outputs))
            raise EdgedistillError(f"ExecuTorch returned {len(found)} outputs, the file's record lists {told}")
        return dict(zip(self.outputs, found, strict=True))

    def backend(self) -> dict[str, object]:
        """See `delegation`."""
        return {**delegation(self._file), "threads": self._threads}

    def _input(self, index: int) -> Port:
        """Its type, and the largest shape."""
        kind, sizes = ctypes.c_int8(), _Sizes()
        rank = self._library.program_input(
            self._program, ctypes.c_size_t(index), ctypes.byref(kind), ctypes.byref(sizes)
        )
        return port(kind.value, sizes[:rank])

    def _output(self, index: int) -> Array:
        """A copy: the values are the program's own until it runs again.

        Raises:
            EdgedistillError: its type is none that we know.
        """
        kind, sizes, data = ctypes.c_int8(), _Sizes(), ctypes.c_void_p()
        place = (ctypes.byref(kind), ctypes.byref(sizes), ctypes.byref(data))
        rank = self._library.program_output(self._program, ctypes.c_size_t(index), *place)
        if kind.value not in TYPES:
            raise EdgedistillError(f"output {index} of the ExecuTorch file is of type {kind.value}, expected float32")
        found: Array = np.empty(tuple(sizes[:rank]), TYPES[kind.value])
        if found.nbytes:
            ctypes.memmove(found.ctypes.data, data, found.nbytes)
        return found

    def _check(self, failure: bytes | None) -> None:
        if failure is not None:
            raise EdgedistillError(f"ExecuTorch: {failure.decode()}, on {self._file.name}")

    def __del__(self) -> None:
        if program := getattr(self, "_program", None):
            self._library.program_close(program)


def _load() -> ctypes.CDLL:
    """The compiled `program.cpp`, which lies beside the package.

    Raises:
        EdgedistillError: it is missing.
    """
    package = find_spec("executorch")
    places = [] if package is None else [Path(folder).parent for folder in package.submodule_search_locations or ()]
    file = next((found for place in places if (found := place / EXTENSION.file).is_file()), None)
    if file is None:
        raise EdgedistillError(f"{EXTENSION.file} is not beside the package executorch")
    library = ctypes.CDLL(str(file))
    for name in ("program_open", "program_run"):
        getattr(library, name).restype = ctypes.c_char_p
    for name in ("program_threads", "program_inputs", "program_input", "program_outputs", "program_output"):
        getattr(library, name).restype = ctypes.c_size_t
    library.program_close.restype = None
    return library
