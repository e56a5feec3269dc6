"""int4-gptq-tables: as int4-gptq, with tables and heads tied to them in 4 bits too, and products in blocks of 64. The
smallest in 4 bits; what int4-tables loses, rounding for real inputs mostly makes up for."""

from __future__ import annotations

from edgedistill.contracts.precision import Quantizer
from edgedistill.contracts.weights import Graph, in_blocks
from edgedistill.quantizers._blocks import BLOCK, Blocks
from edgedistill.quantizers._for_inputs import quantizing_for_inputs

_PRODUCTS = 64
"""Larger blocks cost more bytes where they don't divide a matrix, and finer ones hardly make a model better that is
rounded for its inputs; tables, with fewer weights to make up for a rounding, need them finer."""

QUANTIZER = Quantizer(
    api=1,
    version=1,
    file="model_int4_gptq_tables.onnx",
    bytes_per_parameter=0.6,
    quantize=quantizing_for_inputs(Blocks(4, _PRODUCTS), Blocks(4)),
    calibrated=True,
    sizing=in_blocks(4, 4, _PRODUCTS, Graph(around=5790, layer=6260), of_tables=BLOCK),
)
