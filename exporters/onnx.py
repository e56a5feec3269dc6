"""ONNX by `transformers.exporters`: portable operators, dynamic batch and length, weights inside the file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.errors import EdgedistillError
from edgedistill.interfaces import Batch, ExportRequest, ShapeCheck

if TYPE_CHECKING:
    import onnx_ir

VERSION = 1
FILE = "model.onnx"
REQUIRES = ("onnx", "onnxscript", "onnxruntime")
INSTALL = "pip install onnx onnxscript onnxruntime"

# Rounding of fp32 sums in another order; a wrong graph is off by orders of magnitude more.
TOLERANCE = 1e-3
_INLINE_LIMIT = 2**31 - 2**20


def export(request: ExportRequest, folder: Path) -> list[ShapeCheck]:
    """Write `folder/model.onnx` and compare it with torch at several shapes.

    Raises:
        EdgedistillError: the model can't be traced, or the file differs from torch.
    """
    import onnx_ir
    import torch
    from transformers.exporters import OnnxConfig, OnnxExporter

    # A batch of one freezes the batch dimension, so it is traced with two.
    sample = request.samples(2, request.max_length if request.fixed_length else min(16, request.max_length))
    fixed = torch.export.Dim.STATIC
    shared = {
        0: torch.export.Dim("batch", max=1 << 16),
        1: fixed if request.fixed_length else torch.export.Dim("length", max=request.max_length),
    }
    config = OnnxConfig(dynamic=True, dynamic_shapes=dict.fromkeys(sample, shared))
    with _quiet():
        try:
            exported = OnnxExporter().export(request.model, sample, config)
        except Exception as error:
            kind = request.config.model_type
            reason = " ".join(str(error).split())[:300]
            raise EdgedistillError(f"target onnx: torch cannot trace this '{kind}' model: {reason}") from error
    graph: onnx_ir.Model = exported.program
    _name_axes(graph, request.max_length if request.fixed_length else "length")
    onnx_ir.save(graph, folder / FILE, external_data=None if _fits_inline(graph) else f"{FILE}.data")
    return _check(request, folder / FILE)


def _check(request: ExportRequest, file: Path) -> list[ShapeCheck]:
    """Outputs of the file against torch at one token, one text, an odd batch, and the longest batch."""
    import numpy as np
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    checks = []
    for batch, length in ((1, 1), (1, 16), (2, 37), (8, request.max_length)):
        length = request.max_length if request.fixed_length else min(length, request.max_length)
        inputs: Batch = request.samples(batch, length)
        with torch.no_grad():
            expected = request.model(**inputs).logits.float().numpy()
        got = session.run(None, {name: inputs[name].numpy() for name in names})[0]
        if got.shape != expected.shape:
            raise EdgedistillError(
                f"target onnx: at {(batch, length)} the file gives {got.shape}, torch {expected.shape}"
            )
        check = ShapeCheck(batch, length, float(np.abs(got - expected).max()))
        if not check.max_abs_diff <= TOLERANCE:
            raise EdgedistillError(
                f"target onnx: at batch {batch}, length {length} the file differs from torch by "
                f"{check.max_abs_diff:.3g}, expected at most {TOLERANCE:g}"
            )
        checks.append(check)
    return checks


def _name_axes(graph: onnx_ir.Model, length: int | str) -> None:
    """Call the dynamic axes of the inputs `batch` and `length` (unless it is fixed), and the outputs' first `batch`."""
    import onnx_ir

    for value in graph.graph.inputs:
        value.shape = onnx_ir.Shape(["batch", length])
    for value in graph.graph.outputs:
        if value.shape is not None:
            rest = [dim if isinstance(dim, int) else length for dim in list(value.shape)[1:]]
            value.shape = onnx_ir.Shape(["batch", *rest])


def _fits_inline(graph: onnx_ir.Model) -> bool:
    return (
        sum(value.const_value.nbytes for value in graph.graph.initializers.values() if value.const_value)
        < _INLINE_LIMIT
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' own progress and version remarks off the terminal; their exceptions pass."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
