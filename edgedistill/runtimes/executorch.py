"""ExecuTorch on the CPU by XNNPACK, for `.pte` files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError
from edgedistill.packages import Packages
from edgedistill.runtimes._executorch import plan

BACKEND = "XnnpackBackend"
INPUTS = (
    ("input_ids", "attention_mask"),
    ("input_ids", "attention_mask", "token_type_ids"),
    ("input_ids",),
    ("pixel_values",),
)
"""What a file may take, in its order: the format has no names. Pixels are told from tokens by their type."""
FLOATS = ("pixel_values",)
"""Inputs that a file takes as float32, whatever the data holds."""

_FLOAT = 6
_PRODUCTS = frozenset(f"aten::{name}" for name in ("addmm", "baddbmm", "bmm", "convolution", "linear", "mm"))


class ExecutorchSession:
    """A program opened by ExecuTorch."""

    def __init__(self, file: Path, threads: int) -> None:
        import executorch.kernels.quantized  # noqa: F401 - int8 embeddings
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        # Its thread pool is as wide as the machine, whatever cores this process may use.
        portable_lib._unsafe_reset_threadpool(threads)
        self._threads: int = portable_lib._threadpool_get_thread_count()
        self._file = file
        self._program = Runtime.get().load_program(file)
        self._forward = self._program.load_method(plan.METHOD)
        meta = self._forward.metadata
        infos = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]
        self.input_names: list[str] = input_names(infos[0].dtype(), len(infos))
        self._largest: tuple[int, ...] = tuple(infos[0].sizes())

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """All outputs for one batch; inputs that the file doesn't have are left out.

        Raises:
            EdgedistillError: a larger input than the file has room for.
        """
        import torch

        arrays = arguments(self.input_names, self._largest, inputs)
        outputs = self._forward.execute([torch.from_numpy(array) for array in arrays])
        return [each.numpy().copy() for each in outputs]

    def backend(self) -> dict[str, object]:
        """See `delegation`."""
        return {**delegation(self._file), "threads": self._threads}


def input_names(kind: int, count: int) -> list[str]:
    """What a file takes whose first of `count` inputs is of that type (ExecuTorch's number)."""
    first = "pixel_values" if kind == _FLOAT else "input_ids"
    return next(list(names) for names in INPUTS if len(names) == count and names[0] == first)


def arguments(
    names: Sequence[str], largest: tuple[int, ...], inputs: Mapping[str, NDArray[np.generic]]
) -> list[NDArray[np.generic]]:
    """The inputs of those names, in their order and of the types that a file takes.

    Raises:
        EdgedistillError: one is larger than the file has room for.
    """
    kinds = [np.float32 if name in FLOATS else np.int64 for name in names]
    arrays = [np.ascontiguousarray(inputs[name], dtype=kind) for name, kind in zip(names, kinds, strict=True)]
    if any(size > most for size, most in zip(arrays[0].shape, largest, strict=True)):
        raise EdgedistillError(f"an input of {arrays[0].shape} is larger than the file has room for, {largest}")
    return arrays


def delegation(file: Path) -> dict[str, object]:
    """How many parts XNNPACK runs, and how many operators are left to ExecuTorch's own kernels. A matrix product among
    these is tens of times slower, so that is not a file for XNNPACK.

    Raises:
        EdgedistillError: nothing is delegated to XNNPACK, or not all matrix products are.
    """
    found = plan.read(file)
    left = sorted(_PRODUCTS.intersection(found.kernels))
    if set(found.parts) != {BACKEND} or left:
        what = f"delegates to {', '.join(sorted(set(found.parts)))}" if found.parts else "delegates nothing"
        slow = f" and leaves {', '.join(left)} to portable kernels" if left else ""
        raise EdgedistillError(
            f"the ExecuTorch file {what}{slow}, expected all matrix products to be delegated to {BACKEND}"
        )
    return {"backend": BACKEND, "delegated_parts": len(found.parts), "operators_elsewhere": len(found.kernels)}


def open(file: Path, threads: int) -> ExecutorchSession:
    """Open `file` with `threads` threads."""
    return ExecutorchSession(file, threads)


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("executorch")


RUNTIME = Runtime(
    api=1,
    targets=("executorch",),
    suffixes=(".pte",),
    packages=Packages(
        imports=("executorch",),
        requirements=("executorch>=1.5.1", "torch>=2.13"),
        environment="executorch",
        # Its binding takes tensors of torch, and imports the whole exporter for one class of warnings.
        harness=("torch", "executorch.exir"),
        library=("executorch.extension.pybindings.portable_lib", "executorch.kernels.quantized"),
    ),
    open=open,
    version=version,
)
