"""LiteRT (`.tflite`): fp32 with litert-torch; int8 with ai-edge-quantizer, with activations quantized dynamically or
with calibrated ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgedistill.arrays import Arrays
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import FileRequest, MadeFile, Target
from edgedistill.errors import EdgedistillError
from edgedistill.exporting.jobs import LOADING, compare_with_torch, refuse_components
from edgedistill.runtimes import litert as runtime
from edgedistill.system.quiet import quiet

PRECISIONS = {
    "fp32": Precision(file="model.tflite", bytes_per_parameter=4.0),
    "int8-dynamic": Precision(file="model_int8.tflite", bytes_per_parameter=1.05, made_of=("litert", "fp32")),
    "int8-static": Precision(
        file="model_int8_static.tflite", bytes_per_parameter=1.05, made_of=("litert", "fp32"), calibrated=True
    ),
}


def make(request: FileRequest, file: Path) -> MadeFile:
    """Write the file for one length; fp32 is compared with PyTorch.

    Raises:
        EdgedistillError: the model cannot be converted, or the file differs from PyTorch.
    """
    match request.precision:
        case "fp32":
            refuse_components(request, "litert")
            _export(request, file)
            graph = runtime.open(file, 1, PortNames(outputs=request.outputs))
            return MadeFile(checks=compare_with_torch(request, "litert", graph))
        case "int8-dynamic":
            _quantize(request, file)
        case _:
            _quantize_with_ranges(request, file)
    return MadeFile()


def _export(request: FileRequest, file: Path) -> None:
    """Inputs are int32, as usual on phones, under the model's own names; attention is written out, since the fused
    operator leaves operators in the graph that the delegate does not support. What is read for one token is computed
    for that one."""
    import litert_torch
    import torch

    from edgedistill_exporters.torch_one_token import one_token

    assert request.length is not None, "a file takes one length"
    model = request.model()
    model.set_attn_implementation("eager")

    class Outputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            found = request.forward(self.model, inputs)
            return tuple(found[name] for name in request.outputs)

    sample = {name: value.to(torch.int32) for name, value in request.samples(1, request.length).items()}
    try:
        with quiet():
            litert_torch.convert(one_token(Outputs().eval(), sample), sample_kwargs=sample).export(str(file))
    except Exception as error:
        kind = model.config.model_type
        reason = " ".join(str(error).split())[:300]
        raise EdgedistillError(f"target litert: this '{kind}' model cannot be converted: {reason}") from error


def _quantize(request: FileRequest, file: Path) -> None:
    from ai_edge_quantizer import quantizer, recipe

    asked = quantizer.Quantizer(str(request.source), recipe.dynamic_wi8_afp32())
    with quiet():
        asked.quantize().export_model(str(file), overwrite=True)


def _quantize_with_ranges(request: FileRequest, file: Path) -> None:
    """Fully connected layers have int8 inputs and outputs; the tables are int8 as well.

    The rest stays fp32. XNNPACK does not support batched matrix products (in attention), softmax or GELU in int8, which
    would then run in the slow kernels; and the mask's -3.4e38 would use up the range of anything it is added to. Ranges
    are the minimum and maximum over all inputs; the quantizer's moving average would clip values that the last inputs
    happen not to contain.
    """
    from ai_edge_quantizer import calibrator, quantizer
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    recipe = RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.FULLY_CONNECTED, activation_num_bits=8, weight_num_bits=8)
    recipe.add_dynamic_config(".*", TFLOperationName.EMBEDDING_LOOKUP, num_bits=8)
    assert request.source is not None, "int8 is made of the fp32 file"
    names = runtime.open(request.source, 1, PortNames(outputs=request.outputs)).inputs
    given = [_int32({name: arrays[name] for name in names}) for arrays in request.calibration]
    with quiet():
        seen = calibrator.Calibrator(str(request.source), num_threads=1, qsv_update_func=min_max_update)
        (signature,) = seen.get_signature_list()
        seen.calibrate({signature: given}, recipe)
        asked = quantizer.Quantizer(str(request.source), recipe.get_quantization_recipe())
        asked.quantize(seen.get_model_qsvs()).export_model(str(file), overwrite=True)


def _int32(inputs: Arrays) -> Arrays:
    return {name: value.astype(np.int32) for name, value in inputs.items()}


TARGET = Target(
    api=1,
    version=4,
    precisions=PRECISIONS,
    runtimes=("litert",),
    packages=Packages(
        imports=("litert_torch", "ai_edge_litert", "ai_edge_quantizer"),
        requirements=(
            *LOADING,
            "litert-torch>=0.10",
            "ai-edge-litert>=2.3",
            "ai-edge-quantizer>=0.10",
        ),
        environment="litert",
    ),
    make=make,
    fixed_shapes=True,
    isolated=True,
)
