"""Residual sums that ONNX Runtime leaves apart from the layer norm after them.

Its optimizer joins `Add` and `LayerNormalization` into `SkipLayerNormalization`, whose CPU kernel takes longer than the
two (ONNX Runtime 1.32, AVX-512: int8 encoders take 1.1 to 1.3 times as long with it; `docs/targets.md`). It does not
join `Sum`, the same sum under another name, so any client's plain session runs the faster graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir


def keep_residuals_apart(graph: onnx_ir.Model) -> None:
    """Rename every `Add` of two computed tensors before a layer norm to `Sum`."""
    for node in graph.graph.all_nodes():
        if node.op_type != "LayerNormalization" or node.inputs[0] is None:
            continue
        added = node.inputs[0].producer()
        if added is not None and added.op_type == "Add" and not any(_is_constant(value) for value in added.inputs):
            added.op_type = "Sum"


def _is_constant(value: onnx_ir.Value | None) -> bool:
    return value is None or value.is_initializer()
