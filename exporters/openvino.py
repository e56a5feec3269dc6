"""OpenVINO IR (`.xml` and `.bin`): fp32 from the ONNX file, fp16 weights, int8 with NNCF and real inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import FileRequest, MadeFile, Target
from edgedistill.errors import EdgedistillError
from edgedistill.exporting.jobs import LOADING, compare_with_torch
from edgedistill.runtimes import openvino as runtime

if TYPE_CHECKING:
    import openvino


PRECISIONS = {
    "fp32": Precision(file="model.xml", bytes_per_parameter=4.0, made_of=("onnx", "fp32")),
    "fp16": Precision(file="model_fp16.xml", bytes_per_parameter=2.0, made_of=("openvino", "fp32")),
    "int8-static": Precision(
        file="model_int8_static.xml", bytes_per_parameter=1.05, made_of=("openvino", "fp32"), calibrated=True
    ),
}


def make(request: FileRequest, file: Path) -> MadeFile:
    """Write the IR; fp32 is compared with PyTorch at several shapes.

    Raises:
        EdgedistillError: the file differs from PyTorch.
    """
    import openvino

    assert request.source is not None, "every precision is made from another file"
    model = openvino.Core().read_model(request.source)
    match request.precision:
        case "fp32":
            openvino.save_model(model, file, compress_to_fp16=False)
            return MadeFile(checks=compare_with_torch(request, "openvino", runtime.open(file, 1, PortNames())))
        case "fp16":
            openvino.save_model(model, file, compress_to_fp16=True)
        case _:
            quantized, preset = _quantized(request.source, request)
            openvino.save_model(quantized, file, compress_to_fp16=False)
            return MadeFile(facts={"nncf_model_type": preset})
    return MadeFile()


def _quantized(source: Path, request: FileRequest) -> tuple[openvino.Model, str]:
    """Weights per channel and activations in int8, with NNCF's preset for transformers, which keeps masks, softmax and
    layer norms in fp32; or with its default preset if OpenVINO cannot compile that (2026.4 cannot fold a constant of
    some small models: openvino issue 33446). The file's facts record which.

    Raises:
        EdgedistillError: OpenVINO can compile neither.
    """
    import nncf
    import openvino

    reasons = []
    for preset in (nncf.ModelType.TRANSFORMER, None):
        model = openvino.Core().read_model(source)
        names = {port.get_any_name() for port in model.inputs}
        inputs = [{name: arrays[name] for name in names} for arrays in request.calibration]
        made = nncf.quantize(model, nncf.Dataset(inputs), model_type=preset, subset_size=len(inputs))
        reason = _refusal(made)
        if reason is None:
            return made, "none" if preset is None else str(preset.value)
        reasons.append(reason)
    raise EdgedistillError(f"target openvino: OpenVINO cannot compile the quantized model: {reasons[-1]}")


def _refusal(model: openvino.Model) -> str | None:
    """Why OpenVINO cannot compile a model, or None."""
    import openvino

    try:
        openvino.Core().compile_model(model, "CPU")
    except RuntimeError as error:
        return " ".join(str(error).split())[-200:]
    return None


TARGET = Target(
    api=1,
    version=2,
    precisions=PRECISIONS,
    runtimes=("openvino",),
    packages=Packages(
        imports=("openvino", "nncf"),
        requirements=(*LOADING, "openvino>=2026.4", "nncf>=3.4"),
        environment="openvino",
    ),
    make=make,
    isolated=True,
)
