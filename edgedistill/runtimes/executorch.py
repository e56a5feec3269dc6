"""ExecuTorch on the CPU by XNNPACK, for `.pte` files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedistill.errors import EdgedistillError
from edgedistill.packages import Packages

TARGETS = ("executorch",)
SUFFIXES = (".pte",)
PACKAGES = Packages(
    imports=("executorch",),
    requirements=("executorch>=1.5.1", "torch>=2.13"),
    environment="executorch",
    # Its binding takes tensors of torch, and imports the whole exporter for one class of warnings.
    harness=("torch", "executorch.exir"),
    library=("executorch.extension.pybindings.portable_lib", "executorch.kernels.quantized"),
)
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
        self._forward = self._program.load_method("forward")
        meta = self._forward.metadata
        infos = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]
        kinds = ("pixel_values",) if infos[0].dtype() == _FLOAT else ("input_ids",)
        self.input_names: list[str] = next(
            list(names) for names in INPUTS if len(names) == len(infos) and names[0] == kinds[0]
        )
        self._largest: tuple[int, ...] = tuple(infos[0].sizes())

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """All outputs for one batch; inputs that the file doesn't have are left out.

        Raises:
            EdgedistillError: a larger input than the file has room for.
        """
        import torch

        kinds = [np.float32 if name in FLOATS else np.int64 for name in self.input_names]
        arrays = [
            np.ascontiguousarray(inputs[name], dtype=kind) for name, kind in zip(self.input_names, kinds, strict=True)
        ]
        if any(size > largest for size, largest in zip(arrays[0].shape, self._largest, strict=True)):
            raise EdgedistillError(
                f"an input of {arrays[0].shape} is larger than the file has room for, {self._largest}"
            )
        outputs = self._forward.execute([torch.from_numpy(array) for array in arrays])
        return [each.numpy().copy() for each in outputs]

    def backend(self) -> dict[str, object]:
        """How many parts XNNPACK runs, and how many operators are left to ExecuTorch's own kernels. A matrix product
        among these is tens of times slower, so that is not a file for XNNPACK.

        Raises:
            EdgedistillError: nothing is delegated to XNNPACK, or not all matrix products are.
        """
        from executorch.exir._serialize._program import deserialize_pte_binary

        program = deserialize_pte_binary(self._file.read_bytes()).program
        plan = next(each for each in program.execution_plan if each.name == "forward")
        steps = [step.instr_args for chain in plan.chains for step in chain.instructions]
        kernels = [plan.operators[step.op_index].name for step in steps if hasattr(step, "op_index")]
        parts = [plan.delegates[step.delegate_index].id for step in steps if hasattr(step, "delegate_index")]
        left = sorted({name for name in kernels if name in _PRODUCTS})
        if set(parts) != {BACKEND} or left:
            what = f"delegates to {', '.join(sorted(set(parts)))}" if parts else "delegates nothing"
            slow = f" and leaves {', '.join(left)} to portable kernels" if left else ""
            raise EdgedistillError(
                f"the ExecuTorch file {what}{slow}, expected all matrix products to be delegated to {BACKEND}"
            )
        return {
            "backend": BACKEND,
            "delegated_parts": len(parts),
            "operators_elsewhere": len(kernels),
            "threads": self._threads,
        }


def open(file: Path, threads: int) -> ExecutorchSession:
    """Open `file` with `threads` threads."""
    return ExecutorchSession(file, threads)


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("executorch")
