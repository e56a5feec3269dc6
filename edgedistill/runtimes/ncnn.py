"""ncnn on the CPU, for `.param` files with their `.bin` beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Port, PortNames, feeds_of
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError

REDUCED = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")
"""ncnn's default optimisations, which would change the file's precision."""
_PRODUCTS = ("Gemm", "InnerProduct", "MatMul", "MultiHeadAttention", "SDPA")


@dataclass(frozen=True)
class Layer:
    """One line of a `.param` file."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: tuple[str, ...]
    """As in the file: `0=64`."""

    def __str__(self) -> str:
        counts = (str(len(self.inputs)), str(len(self.outputs)))
        return " ".join((self.kind, self.name, *counts, *self.inputs, *self.outputs, *self.settings))

    def number(self, key: int) -> int:
        """The setting with that number; 0 if absent."""
        return next((int(setting.partition("=")[2]) for setting in self.settings if setting.startswith(f"{key}=")), 0)


def read_layers(file: Path) -> list[Layer]:
    """The layers of a `.param` file, in its order."""
    layers = []
    for line in file.read_text(encoding="utf-8").splitlines()[2:]:
        kind, name, taken, given, *rest = line.split()
        first, end = int(taken), int(taken) + int(given)
        layers.append(Layer(kind, name, tuple(rest[:first]), tuple(rest[first:end]), tuple(rest[end:])))
    return layers


class _Mat(Protocol):
    """The used part of ncnn, which has no type annotations."""

    def elembits(self) -> int: ...

    def __array__(self) -> Array: ...


class NcnnGraph:
    """A file opened by ncnn, which computes in fp32 whatever its weights are stored in. ncnn takes one item at a time,
    so batches are run one by one."""

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
        self.inputs = input_ports(self._layers)
        self.outputs = output_ports(self._layers)
        self._widths = {layer.outputs[0]: layer.number(0) or None for layer in self._layers if layer.kind == "Input"}
        self._longest = longest(self._layers)

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """All outputs for one batch; inputs that the file does not have are dropped.

        Raises:
            EdgedistillError: ncnn failed, or an input has an unsupported length, for which ncnn would read beyond its
                tables.
        """
        given = feeds_of(self.inputs, feeds)
        for name, array in given.items():
            width, length = self._widths[name], array.shape[1]
            if width is not None and length != width:
                raise EdgedistillError(f"an input of {length} values, but the file takes {width}")
            if self._longest is not None and length > self._longest:
                raise EdgedistillError(
                    f"an input of {length} tokens is longer than the file's maximum, {self._longest}"
                )
        items = len(next(iter(given.values())))
        rows = [self._extract({name: array[i] for name, array in given.items()}, *self.outputs) for i in range(items)]
        return {name: np.stack([np.array(row[k]) for row in rows]) for k, name in enumerate(self.outputs)}

    def _extract(self, item: Arrays, *blobs: str, raw: bool = False) -> list[_Mat]:
        """These blobs for one item; `raw`: in ncnn's internal layout."""
        extractor = self._net.create_extractor()
        for name, values in item.items():
            # An uncloned one would not own its memory.
            extractor.input(name, self._ncnn.Mat(np.ascontiguousarray(values)).clone())
        found: list[_Mat] = []
        for blob in blobs:
            failed, values = extractor.extract(blob, int(raw))
            if failed:
                raise EdgedistillError(f"ncnn failed with code {failed} at '{blob}'")
            found.append(values)
        return found

    def backend(self) -> dict[str, object]:
        """Number of layers and matrix products, and the bits of a product's output.

        Raises:
            EdgedistillError: ncnn does not compute on the CPU, in fp32, or with the requested threads.
        """
        options = self._net.opt
        reduced = [name for name in (*REDUCED, "use_vulkan_compute") if getattr(options, name)]
        products = [layer for layer in self._layers if layer.kind in _PRODUCTS]
        zeros = {name: np.zeros(self._widths[name] or 1, port.dtype) for name, port in self.inputs.items()}
        (product,) = self._extract(zeros, products[0].outputs[0], raw=True)
        bits = product.elembits()
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


def input_ports(layers: Sequence[Layer]) -> dict[str, Port]:
    """Shapes (1, length) of the inputs by blob name. ncnn has no types: inputs of an `Embed` are integers, all others
    floats."""
    numbers = {name for layer in layers if layer.kind == "Embed" for name in layer.inputs}
    for layer in reversed(layers):
        if layer.kind == "Split" and numbers.intersection(layer.outputs):
            numbers.update(layer.inputs)
    return {
        layer.outputs[0]: Port("int32" if layer.outputs[0] in numbers else "float32", (1, layer.number(0) or None))
        for layer in layers
        if layer.kind == "Input"
    }


def output_ports(layers: Sequence[Layer]) -> dict[str, Port]:
    """Blobs that no layer consumes; ncnn does not report sizes."""
    taken = {name for layer in layers for name in layer.inputs}
    return {name: Port("float32", None) for layer in layers for name in layer.outputs if name not in taken}


def longest(layers: Sequence[Layer]) -> int | None:
    """A file's maximum length: the rows of its smallest table that is sliced to the input's length; None without
    one."""
    tables = {layer.outputs[0]: layer.number(1) for layer in layers if layer.kind == "MemoryData"}
    cut = [layer.inputs[0] for layer in layers if layer.kind == "Crop" and len(layer.inputs) > 1]
    return min((tables[name] for name in cut if name in tables), default=None)


def open(file: Path, threads: int, names: PortNames) -> NcnnGraph:
    """Open `file`, and the weights beside it, with `threads` threads; its format has names."""
    return NcnnGraph(file, threads)


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
