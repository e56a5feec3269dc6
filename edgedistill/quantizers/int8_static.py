"""int8-static: weights in int8 per output channel, embedding tables in 8 bits too; inputs and outputs of matrix
products in 8 bits with ranges calibrated on real inputs. The rest stays fp32: the mask's -3.4e38 would use up the range
of anything it is added to."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgedistill.arrays import Arrays
from edgedistill.contracts.precision import Quantizer
from edgedistill.contracts.weights import Graph, by_column
from edgedistill.system.quiet import quiet

_PRODUCTS = ("MatMul", "Gemm")
_TABLES = ("Gather",)


def quantize(source: Path, destination: Path, calibration: Sequence[Arrays]) -> None:
    """Quantize the products with ONNX Runtime's `quantize_static` in QDQ format with min-max ranges, then the tables as
    in int8-dynamic: in QDQ format the whole table would be dequantized in every run.

    The graph is pre-processed but not fused: `quantize_static` cannot infer the shapes of fused attention.
    """
    import onnx
    from onnx import TensorProto
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared, products = Path(folder) / "prepared.onnx", Path(folder) / "products.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        names = {port.name for port in onnx.load(prepared, load_external_data=False).graph.input}
        quantize_static(
            prepared,
            products,
            _Reader(calibration, names),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_PRODUCTS),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        quantize_dynamic(
            products,
            destination,
            op_types_to_quantize=list(_TABLES),
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )


class _Reader:
    """Provides the inputs one by one, like ONNX Runtime's `CalibrationDataReader`."""

    def __init__(self, inputs: Sequence[Arrays], names: set[str]) -> None:
        self._next = iter([{name: arrays[name] for name in names} for arrays in inputs])

    def get_next(self) -> Arrays | None:
        return next(self._next, None)


QUANTIZER = Quantizer(
    api=1,
    version=1,
    file="model_int8_static.onnx",
    bytes_per_parameter=1.03,
    quantize=quantize,
    calibrated=True,
    sizing=by_column(Graph(around=11400, layer=16600)),
)
