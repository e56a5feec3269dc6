"""A mix: each part of a model in its own precision."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.arrays import Arrays
from edgedistill.contracts.precision import CALIBRATED, Mix
from edgedistill.errors import RefusedError
from edgedistill.quantizers import int8_static
from edgedistill.quantizers._blocks import BITS, Blocks, quantize_tables
from edgedistill.quantizers._products import quantize_outputs
from edgedistill.quantizers._rows import shrink_rows
from edgedistill.quantizers.int8_dynamic import quantize_nodes
from edgedistill.system.quiet import quiet

if TYPE_CHECKING:
    import onnx

    from edgedistill.exporting.onnx_parts import Matrix


def quantize_mix(
    source: Path, destination: Path, mix: Mix, calibration: Sequence[Arrays] = (), method: str = "minmax"
) -> None:
    """Write the file.

    Args:
        calibration: inputs one by one, from which the ranges of `int8-static` are estimated.
        method: how.

    Raises:
        RefusedError: a matrix belongs to no part, a table is the head too, or nothing is quantized.
    """
    import onnx

    from edgedistill.exporting.onnx_parts import matrices
    from edgedistill.exporting.onnx_saving import save_model

    model = onnx.load(source)
    found = matrices(model.graph)
    _check(found, mix)
    tables = {matrix.weights[0]: matrix for matrix in found if matrix.kind == "table" and matrix.part == "embeddings"}
    products = {
        matrix.node.output[0]: mix.of(matrix.part, matrix.layer)
        for matrix in found
        if matrix.kind == "product" and matrix.part
    }
    static = [output for output, asked in products.items() if asked == CALIBRATED]
    if static:
        model = _with_static_products(model, static, calibration, method)
    _shrink_tables(model, list(tables), mix)
    for precision, bits in BITS.items():
        quantize_outputs(
            model, [output for output, asked in products.items() if asked == precision], Blocks(bits, mix.block)
        )
    dynamic = {output for output, asked in products.items() if asked == "int8-dynamic"}
    names = _named(model.graph, dynamic)
    with quiet():
        if names:
            quantize_nodes(model, destination, names)
        else:
            save_model(model, destination)


def _with_static_products(
    model: onnx.ModelProto, outputs: Collection[str], calibration: Sequence[Arrays], method: str
) -> onnx.ModelProto:
    """The products that make these values, in the calibrated arithmetic of `int8-static`. The mask and the softmax are
    in none of them: only products with a constant matrix are in a part.

    The graph is not optimized first, which would give values other names.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from edgedistill.exporting.onnx_saving import fits_inline, save_model

    for node in model.graph.node:
        if node.output and node.output[0] in outputs:
            node.name = f"{node.output[0]}_product"
    with tempfile.TemporaryDirectory() as folder, quiet():
        named, prepared, made = (Path(folder) / f"{name}.onnx" for name in ("named", "prepared", "made"))
        large = not fits_inline(model)
        save_model(model, named)
        quant_pre_process(
            named,
            prepared,
            skip_optimization=True,
            skip_symbolic_shape=True,
            save_as_external_data=large,
            all_tensors_to_one_file=large,
        )
        int8_static.quantize_products(prepared, made, calibration, method, [f"{output}_product" for output in outputs])
        calibrated = onnx.load(made)
    del calibrated.graph.value_info[:]  # shapes of values, which no runtime needs
    return calibrated


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
