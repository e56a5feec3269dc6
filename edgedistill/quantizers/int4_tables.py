"""int4-tables: as int4, and the tables in 4 bits too, with a head that is tied to one. Smallest, where most weights are
in tables, as of a small model of many tokens; it costs more of the answers than int4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgedistill.arrays import Arrays
from edgedistill.contracts.precision import Quantizer


def quantize(source: Path, destination: Path, calibration: Sequence[Arrays]) -> None:
    """Quantize to `MatMulNBits` and `GatherBlockQuantized`, rounding to nearest."""
    import onnx

    from edgedistill.exporting import quiet

    from ._blocks import quantize_products, quantize_tables

    model = onnx.load(source)
    with quiet():
        quantize_tables(model, 4)
        onnx.save(quantize_products(model, 4), destination)


QUANTIZER = Quantizer(api=1, version=1, file="model_int4_tables.onnx", bytes_per_parameter=0.57, quantize=quantize)
