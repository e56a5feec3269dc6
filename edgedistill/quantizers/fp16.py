"""fp16: weights and arithmetic in half precision, inputs and outputs unchanged. Half the size; rarely faster on a CPU
without fp16 kernels, which converts and computes in fp32."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgedistill.arrays import Arrays
from edgedistill.contracts.precision import Quantizer
from edgedistill.contracts.weights import Graph, plain


def quantize(source: Path, destination: Path, calibration: Sequence[Arrays]) -> None:
    """Convert with ONNX Runtime's float16 converter."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model
    from onnxruntime.transformers.float16 import convert_float_to_float16

    from edgedistill.exporting.onnx_saving import save_model

    # The converter itself would infer shapes in memory, which fails with more weights than protobuf can hold.
    with tempfile.TemporaryDirectory() as folder:
        inferred = Path(folder) / "model.onnx"
        onnx.shape_inference.infer_shapes_path(source, inferred)
        model = onnx.load(inferred, load_external_data=False)
    load_external_data_for_model(model, str(source.parent))
    # A folder's worth of mask arithmetic uses -3.4e38, which fp16 cannot hold: the converter clamps it to its own
    # largest value, which masks just as well.
    save_model(convert_float_to_float16(model, keep_io_types=True, disable_shape_infer=True), destination)


QUANTIZER = Quantizer(
    api=1,
    version=1,
    file="model_fp16.onnx",
    bytes_per_parameter=2.0,
    quantize=quantize,
    sizing=plain(2, Graph(around=4100, layer=5060)),
)
