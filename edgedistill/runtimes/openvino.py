"""OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedistill.contracts.runtime import Runtime
from edgedistill.errors import EdgedistillError
from edgedistill.packages import Packages


class OpenVINOSession:
    """A file compiled for the CPU.

    Arithmetic is in fp32, quantized operators in int8: without that hint OpenVINO computes fp32 files in bf16 where the
    CPU has it, and the figures would not be those of the file.
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
        self._outputs = range(len(self._compiled.outputs))
        self.input_names: list[str] = [each.get_any_name() for each in self._compiled.inputs]

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        """All outputs for one batch; inputs that the file doesn't have are left out."""
        self._request.infer({name: inputs[name] for name in self.input_names}, share_inputs=True)
        return [self._request.get_output_tensor(i).data.copy() for i in self._outputs]

    def backend(self) -> dict[str, object]:
        """The devices, the precision of arithmetic, and how many of the matrix products are computed in int8."""
        devices = list(self._compiled.get_property("EXECUTION_DEVICES"))
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if devices != ["CPU"] or precision != "f32":
            raise EdgedistillError(
                f"OpenVINO runs the file on {', '.join(devices)} in {precision}, expected CPU in f32"
            )
        layers = [each.get_rt_info() for each in self._compiled.get_runtime_model().get_ops()]
        products = [each for each in layers if each["layerType"].astype(str) in ("FullyConnected", "MatMul")]
        in_int8 = sum(each["runtimePrecision"].astype(str) in ("i8", "u8") for each in products)
        return {"devices": devices, "precision": precision, "products": len(products), "products_in_int8": in_int8}


def open(file: Path, threads: int) -> OpenVINOSession:
    """Compile `file` for the CPU with `threads` threads."""
    return OpenVINOSession(file, threads)


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
