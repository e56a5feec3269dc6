"""int8: weights of matrix products and of tables in 8 bits, in blocks of 32 with a scale each, and a head that is tied
to a table with it; activations in 8 bits as they come, in such blocks too. Closer to fp32 than int8-dynamic, whose one
scale for all activations is that of the largest, and slower on a processor with instructions for that."""

from __future__ import annotations

from edgedistill.contracts.precision import Quantizer
from edgedistill.quantizers._blocks import quantizing

QUANTIZER = Quantizer(api=1, version=1, file="model_int8.onnx", bytes_per_parameter=1.13, quantize=quantizing(8, 8))
