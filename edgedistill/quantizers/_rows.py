"""Lookup tables in int8 with one scale per row, or in fp16, with portable operators: only the rows that are looked up
are converted back."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgedistill.quantizers._blocks import replace_nodes

if TYPE_CHECKING:
    import onnx


def shrink_rows(model: onnx.ModelProto, tables: Collection[str], precision: Literal["int8", "fp16"]) -> None:
    """Convert these tables in place."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    for initializer in [stored for stored in graph.initializer if stored.name in tables]:
        rows = numpy_helper.to_array(initializer)
        name = initializer.name
        if precision == "fp16":
            graph.initializer.append(numpy_helper.from_array(rows.astype(np.float16), f"{name}_half"))
            continue
        # A row of zeros has any scale.
        scales = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float32).tiny * 127) / 127
        graph.initializer.append(numpy_helper.from_array(np.rint(rows / scales).astype(np.int8), f"{name}_rows"))
        graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), f"{name}_scales"))
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "Gather" or node.input[0] not in tables:
            nodes.append(node)
            continue
        table, rows, (output,) = node.input[0], node.input[1], node.output
        if precision == "fp16":
            nodes.append(helper.make_node("Gather", [f"{table}_half", rows], [f"{output}_half"]))
            nodes.append(helper.make_node("Cast", [f"{output}_half"], [output], to=TensorProto.FLOAT))
            continue
        nodes += [
            helper.make_node("Gather", [f"{table}_rows", rows], [f"{output}_rows"]),
            helper.make_node("Gather", [f"{table}_scales", rows], [f"{output}_scales"]),
            helper.make_node("Cast", [f"{output}_rows"], [f"{output}_whole"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{output}_whole", f"{output}_scales"], [output]),
        ]
    replace_nodes(model, nodes)
