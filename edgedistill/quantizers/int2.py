"""int2: weights of matrix products in 2 bits, in blocks of 32; tables, and heads tied to them, in 8 bits; activations
dynamically in 8 bits. Rounding a finished model to 2 bits destroys it: train for it with a stage's `quantize: int2`."""

from __future__ import annotations

from edgedistill.contracts.precision import Quantizer
from edgedistill.contracts.weights import Graph, in_blocks
from edgedistill.quantizers._blocks import BLOCK, arithmetic, quantizing

QUANTIZER = Quantizer(
    api=1,
    version=3,
    file="model_int2.onnx",
    bytes_per_parameter=0.7,
    quantize=quantizing(2, 8),
    arithmetic=arithmetic(2, 8),
    sizing=in_blocks(2, 8, BLOCK, Graph(around=5490, layer=6260)),
)
