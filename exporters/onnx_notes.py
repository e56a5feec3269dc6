"""What every exported ONNX graph goes without: inputs that no operator reads, and notes about where it was traced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir


def drop_unread(graph: onnx_ir.Model) -> None:
    """Remove unused inputs (segments of a model without a segment table, positions if a model counts them itself)."""
    graph.graph.inputs[:] = [value for value in graph.graph.inputs if value.uses() or value.is_graph_output()]


def drop_notes(graph: onnx_ir.Model) -> None:
    """Remove each operator's source location, which holds paths of this machine and is half of a small model's file,
    and the signature of the traced program, which names every weight once more."""
    for whole in (graph, graph.graph):
        whole.metadata_props.clear()
    for node in graph.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
    for value in values(graph):
        value.metadata_props.clear()


def values(graph: onnx_ir.Model) -> Iterator[onnx_ir.Value]:
    """Every value of the graph: inputs, weights and what operators return."""
    yield from graph.graph.inputs
    yield from graph.graph.initializers.values()
    for node in graph.graph.all_nodes():
        yield from node.outputs
