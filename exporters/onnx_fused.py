"""ONNX for ONNX Runtime alone: the portable file of target `onnx` with each layer's attention as one operator.

`com.microsoft.Attention` holds the projections of queries, keys and values, the scores, the mask and the softmax; in
int8 it becomes `QAttention`. `MultiHeadAttention`, for a layer that is read for one token, holds the same without the
projections. Which of the two files is faster depends on the student and the machine: name both targets in a recipe, and
both are measured.
"""

from __future__ import annotations

from pathlib import Path

from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import FileRequest, MadeFile, Target
from edgedistill.contracts.weights import Graph, by_column, plain
from edgedistill.errors import RefusedError
from edgedistill.exporting.jobs import compare_with_torch
from edgedistill.exporting.onnx_saving import save_graph
from edgedistill.quantizers import int8_dynamic
from edgedistill.runtimes import onnxruntime as runtime
from edgedistill_exporters.onnx import facts_of

_FP32_GRAPH = Graph(around=3600, layer=2730)
_INT8_GRAPH = Graph(around=6980, layer=4450)
_INT8 = int8_dynamic.QUANTIZER
PRECISIONS = {
    "fp32": Precision(
        file="model.onnx", bytes_per_parameter=4.0, made_of=("onnx", "fp32"), sizing=plain(4, _FP32_GRAPH)
    ),
    "int8-dynamic": Precision(
        file=_INT8.file,
        bytes_per_parameter=_INT8.bytes_per_parameter,
        made_of=("onnx-fused", "fp32"),
        version=_INT8.version,
        sizing=by_column(_INT8_GRAPH),
    ),
}


def make(request: FileRequest, file: Path) -> MadeFile:
    """Fuse the portable fp32 file and compare it with PyTorch, or quantize the fused file.

    Raises:
        RefusedError: the portable file has no attention that the operator can express.
        EdgedistillError: the file differs from PyTorch.
    """
    import onnx_ir

    from edgedistill_exporters.onnx_attention import fuse_attention

    assert request.source is not None, "every precision is made from another file"
    if request.precision != "fp32":
        _INT8.quantize(request.source, file, request.calibration)
        return MadeFile(facts=facts_of(file))
    graph = onnx_ir.load(request.source)
    layers = fuse_attention(graph)
    if not layers:
        raise RefusedError(
            "target onnx-fused: no layer of this model has attention that ONNX Runtime's operator can express (biases, "
            "all heads alike, a mask of padding only); expected target onnx"
        )
    save_graph(graph, file)
    checks = compare_with_torch(request, "onnx-fused", runtime.open(file, 1, PortNames()))
    return MadeFile(checks=checks, facts={**facts_of(file), "fused_attention_layers": layers})


TARGET = Target(
    api=1,
    version=4,
    precisions=PRECISIONS,
    runtimes=("onnxruntime",),
    packages=Packages(imports=("onnx", "onnxruntime")),
    make=make,
)
