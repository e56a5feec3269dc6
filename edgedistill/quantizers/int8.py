"""int8: weights of matrix products and tables (and heads tied to them) in 8 bits, in blocks of 32 with one scale each;
activations dynamically in 8 bits, in blocks too. Closer to fp32 than int8-dynamic, which has one scale for all
activations, but slower on processors with int8 instructions."""

from __future__ import annotations

from edgedistill.contracts.precision import Quantizer
from edgedistill.contracts.weights import Graph, in_blocks
from edgedistill.quantizers._blocks import BLOCK, arithmetic, quantizing

QUANTIZER = Quantizer(
    api=1,
    version=2,
    file="model_int8.onnx",
    bytes_per_parameter=1.13,
    quantize=quantizing(8, 8),
    arithmetic=arithmetic(8, 8),
    sizing=in_blocks(8, 8, BLOCK, Graph(around=5490, layer=5960)),
)
