"""LiteRT on the CPU, by its XNNPACK delegate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError
from edgedistill.packages import Packages

_DELEGATE = "DELEGATE"
_PRODUCTS = frozenset(("BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))


class LiteRTSession:
    """A file opened by LiteRT; its inputs are bound by name and cast to the file's own type (int32)."""

    def __init__(self, file: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(file), num_threads=threads)
        self._interpreter.allocate_tensors()
        runner = self._interpreter.get_signature_runner()
        self._inputs = runner.get_input_details()
        self._outputs = [each["index"] for each in self._interpreter.get_output_details()]
        self.input_names: list[str] = list(self._inputs)

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """All outputs for one item of the file's length; inputs that the file doesn't have are left out."""
        for name, detail in self._inputs.items():
            self._interpreter.set_tensor(detail["index"], inputs[name].astype(detail["dtype"]))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]  # copies

    def backend(self) -> dict[str, object]:
        """How many of the file's operators XNNPACK runs, LiteRT's only delegate by default; the rest run by LiteRT's
        own kernels. Of the matrix products, how many have int8 weights, and how many of these take int8 activations
        (the others' are quantized as they come).

        Raises:
            EdgedistillError: XNNPACK runs none.
        """
        nodes = self._interpreter._get_ops_details()
        taken = delegated(nodes)
        operators = sum(node["op_name"] != _DELEGATE for node in nodes)
        if not taken:
            raise EdgedistillError(f"XNNPACK runs none of the file's {operators} operators")
        left = {str(n["op_name"]) for n in nodes if n["op_name"] != _DELEGATE and n["index"] not in taken}
        types = {each["index"]: each["dtype"] for each in self._interpreter.get_tensor_details()}
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
    """Indices of the operators inside delegates: LiteRT lists them still, beside the node that replaces them. They are
    what lies between a delegate's outputs and its inputs."""
    maker = {tensor: node for node in nodes if node["op_name"] != _DELEGATE for tensor in _ints(node["outputs"])}
    found: set[object] = set()
    for each in nodes:
        if each["op_name"] != _DELEGATE:
            continue
        given, open_ = set(_ints(each["inputs"])), _ints(each["outputs"])
        while open_:
            tensor = open_.pop()
            node = maker.get(tensor)
            if tensor in given or node is None or node["index"] in found:
                continue
            found.add(node["index"])
            open_ += _ints(node["inputs"])
    return found


def _ints(values: object) -> list[int]:
    return [int(each) for each in np.asarray(values).ravel()]


def open(file: Path, threads: int) -> LiteRTSession:
    """Open `file` with `threads` threads."""
    return LiteRTSession(file, threads)


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
