"""fp16: weights and arithmetic in half precision, inputs and outputs as before. Half the size; a CPU without fp16
kernels computes it in fp32 and converts, so it is rarely faster there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgedistill.interfaces import Inputs

BYTES_PER_PARAMETER = 2.0
FILE = "model_fp16.onnx"
CALIBRATED = False
VERSION = 1


def quantize(source: Path, destination: Path, calibration: Sequence[Inputs]) -> None:
    """Convert with ONNX Runtime's float16 converter."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    # A folder's worth of mask arithmetic uses -3.4e38, which fp16 cannot hold: the converter clamps it to its own
    # largest value, which masks just as well.
    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), destination)
