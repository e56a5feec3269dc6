"""ncnn on the CPU, for `.param` files with their `.bin` beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError
from edgedistill.packages import Packages

OUTPUT = "logits"

REDUCED = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")
"""What ncnn does by default where the CPU can: the figures would not be those of the file."""
_PRODUCTS = ("Gemm", "InnerProduct", "MatMul", "MultiHeadAttention", "SDPA")


@dataclass(frozen=True)
class Layer:
    """One line of a `.param` file."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: tuple[str, ...]
    """As they stand: `0=64`."""

    def __str__(self) -> str:
        counts = (str(len(self.inputs)), str(len(self.outputs)))
        return " ".join((self.kind, self.name, *counts, *self.inputs, *self.outputs, *self.settings))

    def number(self, key: int) -> int:
        """The setting of that number, 0 where the file leaves it out."""
        return next((int(each.partition("=")[2]) for each in self.settings if each.startswith(f"{key}=")), 0)


def read_layers(file: Path) -> list[Layer]:
    """The layers of a `.param` file, in its order."""
    layers = []
    for line in file.read_text(encoding="utf-8").splitlines()[2:]:
        kind, name, taken, given, *rest = line.split()
        first, end = int(taken), int(taken) + int(given)
        layers.append(Layer(kind, name, tuple(rest[:first]), tuple(rest[first:end]), tuple(rest[end:])))
    return layers


class _Mat(Protocol):
    """What is used of ncnn's own, which tells no types."""

    def elembits(self) -> int: ...

    def __array__(self) -> NDArray[np.generic]: ...


class NcnnSession:
    """A file opened by ncnn, which computes in fp32, whatever its weights are stored in. ncnn takes one item at a time,
    so those of a batch are run one after the other."""

    def __init__(self, file: Path, threads: int) -> None:
        import ncnn

        self._ncnn = ncnn
        self._threads = threads
        self._net = ncnn.Net()
        self._net.opt.num_threads = threads
        self._net.opt.use_vulkan_compute = False
        for name in REDUCED:
            setattr(self._net.opt, name, False)
        weights = file.with_suffix(".bin")
        if self._net.load_param(str(file)) or self._net.load_model(str(weights)):
            raise EdgedistillError(f"ncnn does not open '{file.name}' with '{weights.name}'")
        self._layers = read_layers(file)
        entries = [each for each in self._layers if each.kind == "Input"]
        self.input_names: list[str] = [each.outputs[0] for each in entries]
        self._width = entries[0].number(0)
        self._longest = longest(self._layers)

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """All outputs for one batch; inputs that the file doesn't have are left out.

        Raises:
            EdgedistillError: ncnn failed, or an input has another length than the file takes: ncnn would read on
                beyond its tables.
        """
        items, length = inputs[self.input_names[0]].shape
        if self._width and length != self._width:
            raise EdgedistillError(f"an input of {length} values, the file takes {self._width}")
        if self._longest is not None and length > self._longest:
            raise EdgedistillError(f"an input of {length} tokens is longer than the file takes, {self._longest}")
        rows = [self._extract({name: inputs[name][item] for name in self.input_names}, OUTPUT) for item in range(items)]
        return [np.stack([np.array(row) for row in rows])]

    def _extract(self, item: Mapping[str, NDArray[np.generic]], blob: str, raw: bool = False) -> _Mat:
        """One blob for one item; `raw` as it is between the layers."""
        extractor = self._net.create_extractor()
        for name, values in item.items():
            array = np.ascontiguousarray(values, dtype=np.int32 if name.endswith("_ids") else np.float32)
            extractor.input(name, self._ncnn.Mat(array).clone())  # an uncloned one would not own its memory
        found: _Mat
        failed, found = extractor.extract(blob, int(raw))
        if failed:
            raise EdgedistillError(f"ncnn failed with code {failed} at '{blob}'")
        return found

    def backend(self) -> dict[str, object]:
        """How many layers and matrix products, and how wide the numbers are that a product gives on to the next layer.

        Raises:
            EdgedistillError: ncnn computes elsewhere than on the CPU, in less than fp32, or with other threads.
        """
        options = self._net.opt
        reduced = [name for name in (*REDUCED, "use_vulkan_compute") if getattr(options, name)]
        products = [each for each in self._layers if each.kind in _PRODUCTS]
        zeros = {name: np.zeros(self._width or 1) for name in self.input_names}
        bits = self._extract(zeros, products[0].outputs[0], raw=True).elembits()
        if reduced or bits != 32 or options.num_threads != self._threads:
            raise EdgedistillError(
                f"ncnn computes in numbers of {bits} bits with {options.num_threads} threads and "
                f"{', '.join(reduced) or 'no option'} on, expected 32 bits, {self._threads} threads and none"
            )
        return {
            "device": "CPU",
            "arithmetic": "fp32",
            "layers": len(self._layers),
            "products": len(products),
            "threads": options.num_threads,
        }


def longest(layers: Sequence[Layer]) -> int | None:
    """The most tokens that a file takes: the rows of its smallest table that is cut to the input's length, None where
    there is no such table."""
    tables = {each.outputs[0]: each.number(1) for each in layers if each.kind == "MemoryData"}
    cut = [each.inputs[0] for each in layers if each.kind == "Crop" and len(each.inputs) > 1]
    return min((tables[name] for name in cut if name in tables), default=None)


def open(file: Path, threads: int) -> NcnnSession:
    """Open `file`, and the weights beside it, with `threads` threads."""
    return NcnnSession(file, threads)


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("ncnn")


RUNTIME = Runtime(
    api=1,
    targets=("ncnn",),
    suffixes=(".param",),
    packages=Packages(imports=("ncnn",), requirements=("ncnn>=1.0.20261020",), environment="ncnn"),
    open=open,
    version=version,
)
