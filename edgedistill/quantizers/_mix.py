"""A mix: each part of a model in its own precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts.precision import Mix
from edgedistill.errors import RefusedError
from edgedistill.quantizers._blocks import Bits, Blocks, quantize_tables
from edgedistill.quantizers._products import quantize_outputs
from edgedistill.quantizers._rows import shrink_rows
from edgedistill.quantizers.int8_dynamic import quantize_nodes
from edgedistill.system.quiet import quiet

if TYPE_CHECKING:
    import onnx

    from edgedistill.exporting.onnx_parts import Matrix

_BITS: dict[str, Bits] = {"int8": 8, "int4": 4, "int2": 2}


def quantize_mix(source: Path, destination: Path, mix: Mix) -> None:
    """Write the file.

    Raises:
        RefusedError: a matrix belongs to no part, a table is the head too, or nothing is quantized.
    """
    import onnx

    from edgedistill.exporting.onnx_parts import matrices

    model = onnx.load(source)
    found = matrices(model.graph)
    _check(found, mix)
    tables = {matrix.weights[0]: matrix for matrix in found if matrix.kind == "table" and matrix.part == "embeddings"}
    products = {
        matrix.node.output[0]: mix.of(matrix.part, matrix.layer)
        for matrix in found
        if matrix.kind == "product" and matrix.part
    }
    _shrink_tables(model, list(tables), mix)
    for precision, bits in _BITS.items():
        quantize_outputs(
            model, [output for output, asked in products.items() if asked == precision], Blocks(bits, mix.block)
        )
    dynamic = {output for output, asked in products.items() if asked == "int8-dynamic"}
    names = _named(model.graph, dynamic)
    with quiet():
        if names:
            quantize_nodes(model, destination, names)
        else:
            onnx.save(model, destination)


def _shrink_tables(model: onnx.ModelProto, tables: list[str], mix: Mix) -> None:
    match mix.of("embeddings"):
        case "int8" | "fp16" as precision:
            shrink_rows(model, tables, precision)
        case "int4":
            quantize_tables(model, Blocks(4, mix.block), tables)
        case "int2":
            quantize_tables(model, Blocks(2, mix.block), tables)


def _check(found: tuple[Matrix, ...], mix: Mix) -> None:
    unknown = next((matrix for matrix in found if matrix.part is None), None)
    if unknown is not None:
        raise RefusedError(
            f"a mix by part: {_shown(unknown)} is in none of the parts embeddings, attention, feed_forward and head; "
            "expected a uniform precision for this model"
        )
    tables = {name for matrix in found if matrix.kind == "table" for name in matrix.weights}
    tied = next((matrix for matrix in found if matrix.kind == "product" and tables & set(matrix.weights)), None)
    if tied is not None:
        raise RefusedError(
            f"a mix by part: {_shown(tied)} is an embedding table and the matrix of a product at once; expected int4, "
            "int4-tables or int8, which store it once"
        )
    if all(matrix.part is None or mix.of(matrix.part, matrix.layer) == "fp32" for matrix in found):
        raise RefusedError("a mix by part: the model has no matrix in the parts to quantize")


def _shown(matrix: Matrix) -> str:
    return f"'{matrix.names[-1] if matrix.names else matrix.node.name}' ({matrix.node.op_type})"


def _named(graph: onnx.GraphProto, outputs: set[str]) -> list[str]:
    """Names of the nodes that make these values, since `quantize_dynamic` selects nodes by name, and splits a Gemm
    before."""
    names = []
    for node in graph.node:
        if node.output and node.output[0] in outputs:
            node.name = f"{node.output[0]}_product"
            names += [node.name, f"{node.name}_MatMul"]
    return names
