"""LiteRT (`.tflite`): fp32 by litert-torch, int8 with activations quantized as they come by ai-edge-quantizer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.exporting import compare_with_torch
from edgedistill.interfaces import FileRequest, Inputs, MadeFile, Packages, Precision

if TYPE_CHECKING:
    from edgedistill.interfaces import Floats

VERSION = 1
PRECISIONS = {
    "fp32": Precision(file="model.tflite", bytes_per_parameter=4.0),
    "int8-dynamic": Precision(file="model_int8.tflite", bytes_per_parameter=1.05, made_of=("litert", "fp32")),
}
RUNTIMES = ("litert",)
FIXED_SHAPES = True
ISOLATED = True
PACKAGES = Packages(
    imports=("litert_torch", "ai_edge_litert", "ai_edge_quantizer"),
    requirements=("torch", "transformers", "litert-torch>=0.10", "ai-edge-litert>=2.3", "ai-edge-quantizer>=0.10"),
    environment="litert",
)


def make(request: FileRequest, file: Path) -> MadeFile:
    """Write the file for one length; fp32 is compared with torch.

    Raises:
        EdgedistillError: the file differs from torch.
    """
    if request.source is not None:
        _quantize(request.source, file)
        return MadeFile()
    _export(request, file)
    return MadeFile(checks=compare_with_torch(request, "litert", _runner(file)))


def _export(request: FileRequest, file: Path) -> None:
    """Inputs are int32, as phones have them, under the model's own names; attention is written out, since the fused
    operator leaves others in the graph that the delegate does not take."""
    import litert_torch
    import torch

    assert request.length is not None, "a file takes one length"
    model = request.model()
    model.set_attn_implementation("eager")

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(**inputs).logits
            return logits

    sample = {name: value.to(torch.int32) for name, value in request.samples(1, request.length).items()}
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        litert_torch.convert(Logits().eval(), sample_kwargs=sample).export(str(file))


def _quantize(source: Path, file: Path) -> None:
    from ai_edge_quantizer import quantizer, recipe

    asked = quantizer.Quantizer(str(source))
    asked.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    asked.quantize().export_model(str(file), overwrite=True)


def _runner(file: Path) -> Callable[[Inputs], Floats]:
    """The file's logits, by LiteRT."""
    from edgedistill.runtimes import litert as runtime

    session = runtime.open(file, threads=1)

    def run(inputs: Inputs) -> Floats:
        logits: Floats = session.run(inputs)[0]
        return logits

    return run
