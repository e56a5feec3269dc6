"""int4-tables: as int4, with tables and heads tied to them in 4 bits too. The smallest if most weights are in tables,
as in a small model with a large vocabulary; loses more accuracy than int4."""

from __future__ import annotations

from edgedistill.contracts.precision import Quantizer
from edgedistill.contracts.weights import Graph, in_blocks
from edgedistill.quantizers._blocks import BLOCK, arithmetic, quantizing

QUANTIZER = Quantizer(
    api=1,
    version=3,
    file="model_int4_tables.onnx",
    bytes_per_parameter=0.64,
    quantize=quantizing(4, 4),
    arithmetic=arithmetic(4, 4),
    sizing=in_blocks(4, 4, BLOCK, Graph(around=5790, layer=6260)),
)
