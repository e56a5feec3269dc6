"""int4-gptq: files like those of int4, with weights rounded such that the outputs of each product stay close on real
inputs, rather than the weights themselves. For models that are not trained in 4 bits, above all language models."""

from __future__ import annotations

from edgedistill.contracts.precision import Quantizer
from edgedistill.contracts.weights import Graph, in_blocks
from edgedistill.quantizers._blocks import BLOCK, Blocks
from edgedistill.quantizers._for_inputs import quantizing_for_inputs

QUANTIZER = Quantizer(
    api=1,
    version=1,
    file="model_int4_gptq.onnx",
    bytes_per_parameter=0.8,
    quantize=quantizing_for_inputs(Blocks(4), Blocks(8)),
    calibrated=True,
    sizing=in_blocks(4, 8, BLOCK, Graph(around=5490, layer=6260)),
)
