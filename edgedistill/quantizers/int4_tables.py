"""int4-tables: as int4, and the tables in 4 bits too, with a head that is tied to one. Smallest, where most weights are
in tables, as of a small model of many tokens; it costs more of the answers than int4."""

from __future__ import annotations

from edgedistill.contracts.precision import Quantizer
from edgedistill.quantizers._blocks import quantizing

QUANTIZER = Quantizer(
    api=1, version=1, file="model_int4_tables.onnx", bytes_per_parameter=0.64, quantize=quantizing(4, 4)
)
