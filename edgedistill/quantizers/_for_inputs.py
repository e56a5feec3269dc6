"""Rounds a file's weights such that the outputs of its products stay close on real inputs (`models/gptq`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgedistill.arrays import Array, Arrays
from edgedistill.quantizers._blocks import Blocks, Quantized, packed, quantize_weights, rounded
from edgedistill.quantizers._gram import gram_matrices


def quantizing_for_inputs(products: Blocks, tables: Blocks) -> Callable[[Path, Path, Sequence[Arrays]], None]:
    """A weight quantizer's function: (fp32 file, file to write, calibration inputs one by one).

    What is no product's matrix, i.e. a table that is only looked up, and what is in 8 bits is rounded by itself.
    """

    def quantize(source: Path, destination: Path, calibration: Sequence[Arrays]) -> None:
        import torch

        from edgedistill.models.gptq import round_for_inputs

        grams = gram_matrices(source, calibration)

        def rounding(matrix: str, weights: Array, blocks: Blocks) -> Quantized:
            if matrix not in grams or not blocks.zeros:
                return rounded(weights, blocks)
            turned, gram = torch.from_numpy(np.array(weights.T, np.float32)), torch.from_numpy(grams[matrix])
            return packed(round_for_inputs(turned, gram, blocks.bits, blocks.size), blocks.bits)

        quantize_weights(source, destination, products, tables, rounding)

    return quantize
