"""int4-gptq: files like those of int4, with weights rounded such that the outputs of each product stay close on real
inputs, rather than the weights themselves. For models that are not trained in 4 bits, above all language models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.precision import Quantizer
from edgedistill.contracts.weights import Graph, in_blocks
from edgedistill.quantizers._blocks import BLOCK, packed, quantize_weights
from edgedistill.quantizers._gram import gram_matrices


def quantize(source: Path, destination: Path, calibration: Sequence[Arrays]) -> None:
    """(fp32 file, file to write, calibration inputs one by one)."""
    import torch

    from edgedistill.models.gptq import round_for_inputs

    grams = gram_matrices(source, calibration)

    def rounded(matrix: str, weights: Array) -> tuple[Array, Array, Array]:
        turned = torch.from_numpy(np.array(weights.T, np.float32))
        return packed(round_for_inputs(turned, torch.from_numpy(grams[matrix]), 4, BLOCK), 4)

    quantize_weights(source, destination, 4, 8, rounded)


QUANTIZER = Quantizer(
    api=1,
    version=1,
    file="model_int4_gptq.onnx",
    bytes_per_parameter=0.8,
    quantize=quantize,
    calibrated=True,
    sizing=in_blocks(4, 8, BLOCK, Graph(around=5490, layer=6260)),
)
