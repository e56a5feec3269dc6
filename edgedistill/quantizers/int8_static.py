"""int8-static: weights in int8 per output channel, embedding tables in 8 bits too; inputs and outputs of matrix
products in 8 bits with ranges calibrated on real inputs. The rest stays fp32: the mask's -3.4e38 would use up the range
of anything it is added to.

Ranges by `minmax` cover every value seen: no input like those is clipped. `percentile` leaves out the largest of
100,000 values, which helps where a few outliers stretch the range, as in wide or deep encoders. `entropy` picks the
range whose quantized distribution has the smallest Kullback-Leibler divergence from the original; it was made for
convolutions, and may clip what attention and layer norms need. On a 3-layer MiniLM with a head for CLINC150, calibrated
on 128 texts, 0.895 of 1,000 validation texts got the class of the fp32 file with `minmax`, 0.904 with `percentile`, and
0.726 with `entropy`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from edgedistill.arrays import Arrays
from edgedistill.contracts.precision import Quantizer
from edgedistill.contracts.weights import Graph, by_column
from edgedistill.system.quiet import quiet

_PRODUCTS = ("MatMul", "Gemm")
_TABLES = ("Gather",)
_METHODS: dict[str, Literal["MinMax", "Percentile", "Entropy"]] = {
    "minmax": "MinMax",
    "percentile": "Percentile",
    "entropy": "Entropy",
}
"""By their names in a recipe, those of ONNX Runtime."""


def quantizing(method: str) -> Callable[[Path, Path, Sequence[Arrays]], None]:
    """The quantizer's function: (fp32 file, file to write, calibration inputs one by one).

    Quantizes the products with ONNX Runtime's `quantize_static` in QDQ format, then the tables as in int8-dynamic: in
    QDQ format the whole table would be dequantized in every run. The graph is pre-processed but not fused:
    `quantize_static` cannot infer the shapes of fused attention.
    """

    def quantize(source: Path, destination: Path, calibration: Sequence[Arrays]) -> None:
        import onnx
        from onnx import TensorProto
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process

        from edgedistill.exporting.onnx_saving import save_model

        with tempfile.TemporaryDirectory() as folder, quiet():
            prepared, products, made = (Path(folder) / f"{name}.onnx" for name in ("prepared", "products", "made"))
            large = _large(source)
            quant_pre_process(
                source, prepared, skip_symbolic_shape=True, save_as_external_data=large, all_tensors_to_one_file=large
            )
            quantize_products(prepared, products, calibration, method)
            quantize_dynamic(
                products,
                made,
                op_types_to_quantize=list(_TABLES),
                weight_type=QuantType.QInt8,
                use_external_data_format=_large(products),
                extra_options={"DefaultTensorType": TensorProto.FLOAT},
            )
            save_model(onnx.load(made), destination)

    return quantize


def quantize_products(
    source: Path, destination: Path, calibration: Sequence[Arrays], method: str, names: Sequence[str] | None = None
) -> None:
    """All products of a file, or the nodes with these names, with ONNX Runtime's `quantize_static` in QDQ format."""
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    read = {port.name for port in onnx.load(source, load_external_data=False).graph.input}
    quantize_static(
        source,
        destination,
        _Reader(calibration, read),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(_PRODUCTS),
        nodes_to_quantize=names,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[_METHODS[method]],
        use_external_data_format=_large(source),
        # Histograms can only be made of inputs of one length at a time.
        extra_options={} if method == "minmax" else {"CalibStridedMinMax": 1},
    )


def _large(file: Path) -> bool:
    import onnx

    from edgedistill.exporting.onnx_saving import fits_inline

    return not fits_inline(onnx.load(file, load_external_data=False))


class _Reader:
    """Provides the inputs one by one, like ONNX Runtime's `CalibrationDataReader`."""

    def __init__(self, inputs: Sequence[Arrays], names: set[str]) -> None:
        self._inputs = [{name: arrays[name] for name in names} for arrays in inputs]
        self._next = iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._next = iter(self._inputs[start_index:end_index])

    def get_next(self) -> Arrays | None:
        return next(self._next, None)


QUANTIZER = Quantizer(
    api=1,
    version=1,
    file="model_int8_static.onnx",
    bytes_per_parameter=1.03,
    quantize=quantizing("minmax"),
    calibrated=True,
    methods={method: quantizing(method) for method in _METHODS},
    sizing=by_column(Graph(around=9830, layer=14600)),
)
