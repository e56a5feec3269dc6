"""LiteRT on the CPU with its XNNPACK delegate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from edgedistill.arrays import Array, Arrays, Integers
from edgedistill.contracts.driver import Port, PortNames, feeds_of, named
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError

_DELEGATE = "DELEGATE"
_PRODUCTS = frozenset(("BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))


class LiteRTGraph:
    """A file opened by LiteRT, with the names of its only signature. Its converter numbers the outputs; their names
    then come from the file's record."""

    def __init__(self, file: Path, threads: int, outputs: Sequence[str]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(file), num_threads=threads)
        self._interpreter.allocate_tensors()
        runner = self._interpreter.get_signature_runner()
        taken, given = runner.get_input_details(), runner.get_output_details()
        if not set(outputs) <= set(given):
            # `output_0`, `output_1`: in the exported model's order.
            numbered = [given[name] for name in sorted(given, key=lambda name: (len(name), name))]
            given = dict(zip(named(outputs, [_port(detail) for detail in numbered], "outputs"), numbered, strict=True))
        self.inputs = {name: _port(detail) for name, detail in taken.items()}
        self.outputs = {name: _port(detail) for name, detail in given.items()}
        self._inputs = {name: detail["index"] for name, detail in taken.items()}
        self._outputs = {name: detail["index"] for name, detail in given.items()}

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """All outputs for one item of the file's length; inputs that the file does not have are dropped."""
        for name, array in feeds_of(self.inputs, feeds).items():
            self._interpreter.set_tensor(self._inputs[name], array)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}  # copies

    def backend(self) -> dict[str, object]:
        """Number of operators that XNNPACK, LiteRT's only default delegate, runs; the rest use LiteRT's own kernels. Of
        the matrix products, the number with int8 weights, and of these with int8 activations (the others quantize
        activations dynamically).

        Raises:
            EdgedistillError: XNNPACK runs none.
        """
        nodes = self._interpreter._get_ops_details()
        taken = delegated(nodes)
        operators = sum(node["op_name"] != _DELEGATE for node in nodes)
        if not taken:
            raise EdgedistillError(f"XNNPACK runs none of the file's {operators} operators")
        left = {str(n["op_name"]) for n in nodes if n["op_name"] != _DELEGATE and n["index"] not in taken}
        types = {detail["index"]: detail["dtype"] for detail in self._interpreter.get_tensor_details()}
        operands = [[types.get(i) for i in _ints(node["inputs"])] for node in nodes if node["op_name"] in _PRODUCTS]
        return {
            "delegate": "XNNPACK",
            "operators": operators,
            "delegated": len(taken),
            "left": sorted(left),
            "products": len(operands),
            "int8_weights": sum(weights is np.int8 for _, weights, *_ in operands),
            "int8_activations": sum(values is np.int8 for values, *_ in operands),
        }


def delegated(nodes: Sequence[Mapping[str, object]]) -> set[object]:
    """Indices of the operators inside delegates, which LiteRT still lists beside the node that replaces them: those
    between a delegate's inputs and outputs."""
    maker = {tensor: node for node in nodes if node["op_name"] != _DELEGATE for tensor in _ints(node["outputs"])}
    found: set[object] = set()
    for delegate in nodes:
        if delegate["op_name"] != _DELEGATE:
            continue
        given, open_ = set(_ints(delegate["inputs"])), _ints(delegate["outputs"])
        while open_:
            tensor = open_.pop()
            node = maker.get(tensor)
            if tensor in given or node is None or node["index"] in found:
                continue
            found.add(node["index"])
            open_ += _ints(node["inputs"])
    return found


class _Detail(TypedDict):
    """The used part of LiteRT's tensor description."""

    index: int
    shape: Integers
    dtype: type[np.generic]


def _port(detail: _Detail) -> Port:
    return Port(np.dtype(detail["dtype"]).name, [int(size) for size in detail["shape"]])


def _ints(values: object) -> list[int]:
    return [int(value) for value in np.asarray(values).ravel()]


def open(file: Path, threads: int, names: PortNames) -> LiteRTGraph:
    """Open `file` with `threads` threads."""
    return LiteRTGraph(file, threads, names.outputs)


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("ai-edge-litert")


RUNTIME = Runtime(
    api=1,
    targets=("litert",),
    suffixes=(".tflite",),
    packages=Packages(
        imports=("ai_edge_litert",),
        requirements=("ai-edge-litert>=2.3",),
        environment="litert",
        library=("ai_edge_litert.interpreter",),
    ),
    open=open,
    version=version,
)
