"""int8-dynamic: weights in int8 per output channel, embedding tables in 8 bits too; activations as they come."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.exporting import quiet

if TYPE_CHECKING:
    from edgedistill.interfaces import Inputs

BYTES_PER_PARAMETER = 1.03
FILE = "model_quantized.onnx"
CALIBRATED = False
VERSION = 1


def quantize(source: Path, destination: Path, calibration: Sequence[Inputs]) -> None:
    """Quantize with ONNX Runtime's `quantize_dynamic`.

    Signed weights give the same answers on x86 and Arm; unsigned ones differ.
    """
    import onnx
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    # quantize_dynamic transposes Gemm weights in place and then trips over the shapes recorded for the old ones.
    weights = {initializer.name for initializer in model.graph.initializer}
    kept = [info for info in model.graph.value_info if info.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared = Path(folder) / "model.onnx"
        onnx.save(model, prepared)
        quantize_dynamic(
            prepared,
            destination,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
