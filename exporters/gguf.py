"""GGUF, llama.cpp's single-file format: weights, sizes and tokenizer, written with the `gguf` package.

Matrices are Q8_0 in int8 and Q4_0 in int4 (blocks of 32 with one scale each, rounded to nearest); tables and heads are
Q8_0 in both, and norms and biases fp32. A matrix whose rows are not a multiple of 32 stays fp16.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import FileRequest, MadeFile, Target
from edgedistill.exporting.jobs import LOADING, refuse_components
from edgedistill_exporters.causal import refuse_others, tie
from edgedistill_exporters.gguf_models import architecture, named_weights, write_sizes
from edgedistill_exporters.gguf_vocabulary import write_vocabulary

if TYPE_CHECKING:
    import gguf

    from edgedistill.arrays import Floats

PRECISIONS = {
    "fp32": Precision(file="model-F32.gguf", bytes_per_parameter=4.0),
    "fp16": Precision(file="model-F16.gguf", bytes_per_parameter=2.0),
    "int8": Precision(file="model-Q8_0.gguf", bytes_per_parameter=1.07),
    "int4": Precision(file="model-Q4_0.gguf", bytes_per_parameter=0.65),
}
_BLOCK = 32
_TABLES = ("token_embd.weight", "output.weight", "position_embd.weight")


def make(request: FileRequest, file: Path) -> MadeFile:
    """Write the file; reports which matrices stayed fp16, and how llama.cpp treats texts differently.

    Raises:
        RefusedError: a model or tokenizer that llama.cpp does not support.
    """
    import gguf

    refuse_components(request, "gguf")
    refuse_others(request, "gguf")
    assert request.folder is not None, "the model was read from a folder"
    model = request.model()
    tie(model)
    writer = gguf.GGUFWriter(str(file), architecture(model))
    try:
        write_sizes(writer, model)
        writer.add_file_type(_kind(request.precision)[1])
        facts = write_vocabulary(writer, request.folder, model.config.vocab_size)
        kept = []
        for name, weights in named_weights(model):
            kind = _kind_of(name, weights, request.precision)
            if kind is gguf.GGMLQuantizationType.F16 and request.precision != "fp16":
                kept.append(name)
            writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    return MadeFile(facts={**facts, **({"kept_fp16": kept} if kept else {})})


def _kind(precision: str) -> tuple[gguf.GGMLQuantizationType, gguf.LlamaFileType]:
    """Types of matrices, and of the file as a whole."""
    import gguf

    kinds, files = gguf.GGMLQuantizationType, gguf.LlamaFileType
    return {
        "fp32": (kinds.F32, files.ALL_F32),
        "fp16": (kinds.F16, files.MOSTLY_F16),
        "int8": (kinds.Q8_0, files.MOSTLY_Q8_0),
        "int4": (kinds.Q4_0, files.MOSTLY_Q4_0),
    }[precision]


def _kind_of(name: str, weights: Floats, precision: str) -> gguf.GGMLQuantizationType:
    import gguf

    kind = _kind(precision)[0]
    if weights.ndim == 1:
        return gguf.GGMLQuantizationType.F32
    if precision in ("fp32", "fp16"):
        return kind
    if weights.shape[-1] % _BLOCK:
        return gguf.GGMLQuantizationType.F16
    return gguf.GGMLQuantizationType.Q8_0 if name in _TABLES else kind


TARGET = Target(
    api=1,
    version=1,
    precisions=PRECISIONS,
    runtimes=("llama-cpp",),
    packages=Packages(
        imports=("gguf",),
        requirements=(*LOADING, "gguf>=0.19"),
        environment="gguf",
    ),
    make=make,
    holds_tokenizer=True,
)
