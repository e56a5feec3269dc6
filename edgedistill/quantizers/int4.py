"""int4: weights of matrix products in 4 bits, in blocks of 32; tables, and heads tied to them, in 8 bits; activations
dynamically in 8 bits. For small files and memory-bound models; a small encoder gets no faster."""

from __future__ import annotations

from edgedistill.contracts.precision import Quantizer
from edgedistill.contracts.weights import Graph, in_blocks
from edgedistill.quantizers._blocks import BLOCK, arithmetic, quantizing

QUANTIZER = Quantizer(
    api=1,
    version=3,
    file="model_int4.onnx",
    bytes_per_parameter=0.8,
    quantize=quantizing(4, 8),
    arithmetic=arithmetic(4, 8),
    sizing=in_blocks(4, 8, BLOCK, Graph(around=5490, layer=6260)),
)
