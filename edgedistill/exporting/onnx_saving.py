"""Writes ONNX files: weights inside as long as protobuf can hold them, 2 GB, and otherwise in a second file beside it,
with the name that transformers.js and optimum look for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx
    import onnx_ir

_INLINE_LIMIT = 2**31 - 2**20
"""Bytes of weights; the rest of 2 GiB is for the graph."""


def save_model(model: onnx.ModelProto, file: Path) -> None:
    """Write a model with all its weights loaded. Large ones are moved out of it: it has none of these afterwards."""
    import onnx

    if fits_inline(model):
        onnx.save(model, file)
    else:
        onnx.save(model, file, save_as_external_data=True, location=weights_name(file))


def save_graph(graph: onnx_ir.Model, file: Path) -> None:
    """Write a graph of `onnx_ir`."""
    import onnx_ir

    weights = (value.const_value for value in graph.graph.initializers.values())
    inline = sum(weight.nbytes for weight in weights if weight is not None) < _INLINE_LIMIT
    onnx_ir.save(graph, file, external_data=None if inline else weights_name(file))


def fits_inline(model: onnx.ModelProto) -> bool:
    """Whether one file can hold a model's weights, loaded or not."""
    return sum(map(_bytes, model.graph.initializer)) < _INLINE_LIMIT


def weights_name(file: Path) -> str:
    """Of the file with the weights of an ONNX file.

    >>> weights_name(Path("onnx/model.onnx"))
    'model.onnx_data'
    """
    return f"{file.name}_data"


def _bytes(initializer: onnx.TensorProto) -> int:
    import onnx

    return math.prod(initializer.dims) * int(onnx.helper.tensor_dtype_to_np_dtype(initializer.data_type).itemsize)
