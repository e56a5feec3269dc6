"""int4-gptq-tables: as int4-gptq, with tables and heads tied to them in 4 bits too, and products in blocks of 64. The
smallest in 4 bits, and closer than int4-tables: rounding for real inputs makes up for a third to a half of the loss."""

from __future__ import annotations

from edgedistill.contracts.precision import Quantizer
from edgedistill.contracts.weights import Graph, in_blocks
from edgedistill.quantizers._blocks import BLOCK, Blocks
from edgedistill.quantizers._for_inputs import quantizing_for_inputs

_PRODUCTS = 64
"""On a language model of 27 M parameters, files with blocks of 32 are 10% larger and cost 0.3% less in nats per token.
Those with blocks of 128 are as good and 5% smaller there, but larger where a matrix is no whole number of blocks wide
(192 or 576 inputs). Tables get no blocks of 64, which would save 1% and cost 0.2%."""

QUANTIZER = Quantizer(
    api=1,
    version=1,
    file="model_int4_gptq_tables.onnx",
    bytes_per_parameter=0.6,
    quantize=quantizing_for_inputs(Blocks(4, _PRODUCTS), Blocks(4)),
    calibrated=True,
    sizing=in_blocks(4, 4, _PRODUCTS, Graph(around=5790, layer=6260), of_tables=BLOCK),
)
