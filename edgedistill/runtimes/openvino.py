"""OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Port, PortNames, feeds_of
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError

if TYPE_CHECKING:
    import openvino


class OpenVINOGraph:
    """A file compiled for the CPU.

    Arithmetic is in fp32, quantized operators in int8: without that hint OpenVINO computes fp32 files in bf16 if the
    CPU supports it, which changes the precision.
    """

    def __init__(self, file: Path, threads: int) -> None:
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._compiled = openvino.Core().compile_model(file, "CPU", settings)
        self._request = self._compiled.create_infer_request()
        self.inputs = _ports(self._compiled.inputs)
        self.outputs = _ports(self._compiled.outputs)

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """All outputs for one batch; inputs that the file does not have are dropped."""
        import openvino

        # `infer(feeds)` dispatches on the types of feeds, which costs 0.06 ms of each inference.
        arrays = feeds_of(self.inputs, feeds)  # kept until the end of the inference, which reads their memory
        for i, array in enumerate(arrays.values()):
            self._request.set_input_tensor(i, openvino.Tensor(array, shared_memory=True))
        self._request.infer()
        return {name: self._request.get_output_tensor(i).data.copy() for i, name in enumerate(self.outputs)}

    def backend(self) -> dict[str, object]:
        """The devices, the arithmetic precision, and the number of matrix products in int8."""
        devices = list(self._compiled.get_property("EXECUTION_DEVICES"))
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if devices != ["CPU"] or precision != "f32":
            raise EdgedistillError(
                f"OpenVINO runs the file on {', '.join(devices)} in {precision}, expected CPU in f32"
            )
        layers = [operator.get_rt_info() for operator in self._compiled.get_runtime_model().get_ops()]
        products = [layer for layer in layers if layer["layerType"].astype(str) in ("FullyConnected", "MatMul")]
        in_int8 = sum(product["runtimePrecision"].astype(str) in ("i8", "u8") for product in products)
        return {"devices": devices, "precision": precision, "products": len(products), "products_in_int8": in_int8}


def _ports(nodes: Sequence[openvino.ConstOutput]) -> dict[str, Port]:
    """Under the first of the file's names for each."""
    return {
        node.get_any_name(): Port(
            np.dtype(node.get_element_type().to_dtype()).name,
            [None if size.is_dynamic else size.get_length() for size in node.get_partial_shape()],
        )
        for node in nodes
    }


def open(file: Path, threads: int, names: PortNames) -> OpenVINOGraph:
    """Compile `file` for the CPU with `threads` threads; its format has names."""
    return OpenVINOGraph(file, threads)


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("openvino")


RUNTIME = Runtime(
    api=1,
    targets=("openvino",),
    suffixes=(".xml",),
    packages=Packages(imports=("openvino",), requirements=("openvino>=2026.4",), environment="openvino"),
    open=open,
    version=version,
)
