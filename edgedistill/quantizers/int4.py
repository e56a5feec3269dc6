"""int4: weights of matrix products in 4 bits, in blocks of 32; tables in 8 bits, and a head that is tied to one with
it. Activations in 8 bits as they come. For size, and for models that wait for memory; a small encoder gains no time."""

from __future__ import annotations

from edgedistill.contracts.precision import Quantizer
from edgedistill.quantizers._blocks import quantizing

QUANTIZER = Quantizer(api=1, version=1, file="model_int4.onnx", bytes_per_parameter=0.8, quantize=quantizing(4, 8))
