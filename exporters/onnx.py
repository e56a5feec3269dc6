"""ONNX with `transformers.exporters`: dynamic batch and length, weights inside the file up to 2 GB. Portable operators,
except for causal language models, which have a KV cache and ONNX Runtime's own attention (`causal_onnx`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import CALIBRATED, Precision
from edgedistill.contracts.target import FileRequest, MadeFile, Target
from edgedistill.contracts.weights import Graph, plain
from edgedistill.errors import EdgedistillError, RefusedError
from edgedistill.exporting.jobs import compare_with_torch, giving_outputs, refuse_components
from edgedistill.exporting.onnx_saving import save_graph
from edgedistill.exporting.onnx_sizes import bytes_by_part
from edgedistill.quantizers._mix import quantize_mix
from edgedistill.quantizers._mix_sizes import mix_sizing
from edgedistill.runtimes import onnxruntime as runtime
from edgedistill.system.quiet import quiet
from edgedistill_exporters import causal_onnx
from edgedistill_exporters.causal import compare, is_causal
from edgedistill_exporters.onnx_notes import drop_notes, drop_unread
from edgedistill_exporters.onnx_one_token import read_one_token
from edgedistill_exporters.onnx_residuals import keep_residuals_apart

if TYPE_CHECKING:
    import onnx_ir

    from edgedistill.contracts.items import Column

_GRAPH = Graph(around=3990, layer=5060)
PRECISIONS = {"fp32": Precision(file="model.onnx", bytes_per_parameter=4.0, sizing=plain(4, _GRAPH))} | {
    name: registry.quantizer(name).precision() for name in registry.names("quantizers")
}


def make(request: FileRequest, file: Path) -> MadeFile:
    """Export fp32 and compare it with PyTorch at several shapes; make the other precisions from that file.

    Raises:
        EdgedistillError: the model cannot be traced, or the file differs from PyTorch.
    """
    if request.source is not None and request.mix is not None:
        quantize_mix(request.source, file, request.mix, request.calibration, request.method or "minmax")
        return MadeFile(facts=facts_of(file))
    if request.source is not None:
        quantizer = registry.quantizer(request.precision)
        quantize = quantizer.quantize if request.method is None else quantizer.methods[request.method]
        quantize(request.source, file, request.calibration)
        return MadeFile(facts=facts_of(file))
    refuse_components(request, "onnx")
    causal = is_causal(request.model())
    with _tracing(request):
        graph = causal_onnx.graph_of(request) if causal else _graph_of(request)
    save_graph(graph, file)
    opened = runtime.open(file, 1, PortNames())
    checks = compare(request, "onnx", opened) if causal else compare_with_torch(request, "onnx", opened)
    return MadeFile(checks=checks, facts=facts_of(file))


def facts_of(file: Path) -> dict[str, object]:
    """What every ONNX file's record says."""
    return {"bytes_by_part": bytes_by_part(file)}


@contextmanager
def _tracing(request: FileRequest) -> Iterator[None]:
    """Add the model to tracing errors."""
    try:
        yield
    except RefusedError:
        raise
    except Exception as error:
        kind = request.model().config.model_type
        reason = " ".join(str(error).split())[:300]
        raise EdgedistillError(f"target onnx: torch cannot trace this '{kind}' model: {reason}") from error


def _graph_of(request: FileRequest) -> onnx_ir.Model:
    import torch
    from transformers.exporters import OnnxConfig, OnnxExporter

    from edgedistill_exporters.plain_attention import plain_attention

    # A batch of one would freeze the batch dimension, so trace with two.
    sample = request.samples(2, request.length or min(16, request.max_length))
    batch = {0: torch.export.Dim("batch", max=1 << 16)}
    length = {1: torch.export.Dim.STATIC if request.length is not None else _lengths(request)}
    shapes = {name: batch | (length if _has_length(column) else {}) for name, column in request.columns().items()}
    config = OnnxConfig(dynamic=True, dynamic_shapes=shapes)
    with quiet(), plain_attention(request, sample), giving_outputs(request, sample) as asked:
        exported = OnnxExporter().export(asked, sample, config)
    graph: onnx_ir.Model = exported.program
    drop_unread(graph)
    keep_residuals_apart(graph)
    read_one_token(graph)
    _name_axes(graph, request)
    drop_notes(graph)
    return graph


def _lengths(request: FileRequest) -> object:
    """The lengths to trace for: from the shortest real input on, since some models (MobileBERT, which combines each
    token with its neighbours) branch differently for one or two tokens."""
    import torch

    return torch.export.Dim("length", min=min(request.min_length, request.max_length), max=request.max_length)


def _has_length(column: Column) -> bool:
    return column.layout == "sequence"


def _name_axes(graph: onnx_ir.Model, request: FileRequest) -> None:
    """Name the dynamic axes of the inputs `batch` and `length` (unless fixed), and the outputs' first axis `batch`."""
    import onnx_ir

    length, columns = request.length or "length", request.columns()
    for value in graph.graph.inputs:
        if _has_length(columns[str(value.name)]):
            value.shape = onnx_ir.Shape(["batch", length])
        elif value.shape is not None:
            value.shape = onnx_ir.Shape(["batch", *list(value.shape)[1:]])
    for value in graph.graph.outputs:
        if value.shape is not None:
            rest = [dim if isinstance(dim, int) else length for dim in list(value.shape)[1:]]
            value.shape = onnx_ir.Shape(["batch", *rest])


TARGET = Target(
    api=1,
    version=8,
    precisions=PRECISIONS,
    runtimes=("onnxruntime",),
    packages=Packages(imports=("onnx", "onnxscript", "onnxruntime")),
    make=make,
    mix=Precision(
        file="model_{}.onnx",
        bytes_per_parameter=1.0,
        made_of=("onnx", "fp32"),
        version=3,
        methods=PRECISIONS[CALIBRATED].methods,
    ),
    mix_sizing=partial(mix_sizing, fp32=_GRAPH),
)
