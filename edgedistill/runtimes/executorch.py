"""ExecuTorch on the CPU with XNNPACK, for `.pte` files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Port, PortNames, feeds_of, named
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError
from edgedistill.runtimes._executorch import plan

BACKEND = "XnnpackBackend"
TYPES = {1: "int8", 3: "int32", 4: "int64", 6: "float32", 11: "bool"}
"""ExecuTorch's codes of the types that our files use."""

_PRODUCTS = frozenset(f"aten::{name}" for name in ("addmm", "baddbmm", "bmm", "convolution", "linear", "mm"))


class ExecutorchGraph:
    """A program opened by ExecuTorch. The format has no names: they come from the file's record."""

    def __init__(self, file: Path, threads: int, names: PortNames) -> None:
        import executorch.kernels.quantized  # noqa: F401 - int8 embeddings
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        # Its thread pool has the machine's number of cores, whatever this process may use.
        portable_lib._unsafe_reset_threadpool(threads)
        self._threads: int = portable_lib._threadpool_get_thread_count()
        self._file = file
        self._program = Runtime.get().load_program(file)
        self._forward = self._program.load_method(plan.METHOD)
        meta = self._forward.metadata
        taken = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]
        given = [meta.output_tensor_meta(i) for i in range(meta.num_outputs())]
        self.inputs = named(names.inputs, [port(tensor.dtype(), tensor.sizes()) for tensor in taken], "inputs")
        self.outputs = named(names.outputs, [port(tensor.dtype(), tensor.sizes()) for tensor in given], "outputs")

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """All outputs for one batch; inputs that the file does not have are dropped.

        Raises:
            EdgedistillError: an input larger than the file's maximum.
        """
        import torch

        arrays = arguments(self.inputs, feeds)
        found = self._forward.execute([torch.from_numpy(array) for array in arrays])
        return {name: tensor.numpy().copy() for name, tensor in zip(self.outputs, found, strict=True)}

    def backend(self) -> dict[str, object]:
        """See `delegation`."""
        return {**delegation(self._file), "threads": self._threads}


def port(kind: int, largest: Sequence[int]) -> Port:
    """An input or output with that type (ExecuTorch's code) and that maximum shape."""
    if kind not in TYPES:
        raise EdgedistillError(f"the ExecuTorch file has numbers of type {kind}, expected {', '.join(TYPES.values())}")
    return Port(TYPES[kind], list(largest))


def arguments(ports: Mapping[str, Port], feeds: Arrays) -> list[Array]:
    """The inputs in a file's order and types.

    Raises:
        EdgedistillError: one is larger than the file's maximum.
    """
    given = feeds_of(ports, feeds)
    for name, array in given.items():
        largest = ports[name].shape or ()
        if any(most is not None and size > most for size, most in zip(array.shape, largest, strict=True)):
            raise EdgedistillError(f"an input of {array.shape} is larger than the file's maximum, {tuple(largest)}")
    return list(given.values())


def delegation(file: Path) -> dict[str, object]:
    """Number of parts that XNNPACK runs, and of operators left to ExecuTorch's own kernels. Matrix products among these
    are tens of times slower, so such a file is refused.

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


def open(file: Path, threads: int, names: PortNames) -> ExecutorchGraph:
    """Open `file` with `threads` threads."""
    return ExecutorchGraph(file, threads, names)


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
        # Its binding takes torch tensors, and imports the whole exporter for one warning class.
        harness=("torch", "executorch.exir"),
        library=("executorch.extension.pybindings.portable_lib", "executorch.kernels.quantized"),
    ),
    open=open,
    version=version,
)
