"""int4: weights of matrix products in 4 bits, in blocks of 32; tables in 8 bits, and a head that is tied to one with
it. Activations in 8 bits as they come. For size, and for models that wait for memory; a small encoder gains no time."""

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
        quantize_tables(model, 8)
        onnx.save(quantize_products(model, 4), destination)


QUANTIZER = Quantizer(api=1, version=1, file="model_int4.onnx", bytes_per_parameter=0.75, quantize=quantize)
