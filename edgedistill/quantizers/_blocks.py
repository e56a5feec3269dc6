"""Weights in 2, 4 or 8 bits, in blocks (of 32) that share a scale: matrix products as `MatMulNBits`,
embedding tables as `GatherBlockQuantized`. Both use one layout, so a table that is tied to the head is stored once.

Scales are in fp32, as a product with fp32 inputs needs them, and in fp16 for tables that are only looked up.

8 bits are symmetric, with the scale of the largest number; 4 and 2 bits have a zero point per block, and of several
scales and zero points the ones of least squared error (`models/block_rounding`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.precision import Arithmetic, Grid
from edgedistill.errors import RefusedError
from edgedistill.system.quiet import quiet

if TYPE_CHECKING:
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig

    from edgedistill.models.block_rounding import Rounded

Bits = Literal[2, 4, 8]
BITS: dict[str, Bits] = {"int8": 8, "int4": 4, "int2": 2}
"""Of the precisions of a mix that are in blocks."""
BLOCK = 32
INT8_ARITHMETIC = 4
"""`accuracy_level`: activations are quantized dynamically. Without it products run in fp32, several times slower."""
_DOMAIN = "com.microsoft"


@dataclass(frozen=True)
class Blocks:
    """Bits of a weight, and weights that share a scale."""

    bits: Bits
    size: int = BLOCK

    @property
    def zeros(self) -> bool:
        """Whether each block has a zero point."""
        return self.bits != 8


Quantized = tuple[Array, Array, Array]
"""Blocks (N, blocks, bytes of a block) of a matrix (K, N), their scales (N, blocks) and zero points (N, bytes)."""

Rounding = Callable[[str, Array, Blocks], Quantized]
"""(a product's matrix by name, its weights (K, N), blocks) -> the matrix in such blocks. A table comes transposed: as
the matrix of its tied head, if it has one."""


def by_weights(_: str, weights: Array, blocks: Blocks) -> Quantized:
    """Each matrix by itself, as `rounded` does."""
    return rounded(weights, blocks)


def quantizing(products: Bits, tables: Bits) -> Callable[[Path, Path, Sequence[Arrays]], None]:
    """A weight quantizer's function: (fp32 file, file to write, calibration, unused)."""
    return lambda source, destination, _: quantize_weights(source, destination, Blocks(products), Blocks(tables))


def quantize_weights(
    source: Path, destination: Path, products: Blocks, tables: Blocks, rounding: Rounding = by_weights
) -> None:
    """Write an fp32 file with its products and tables in such blocks."""
    import onnx

    from edgedistill.exporting.onnx_saving import save_model

    model = onnx.load(source)
    with quiet():
        quantize_tables(model, tables, rounding=rounding)
        save_model(quantize_products(model, products, rounding), destination)


def arithmetic(products: Bits, tables: Bits) -> Arithmetic:
    """What such a file rounds. The exporter writes a product of one vector per item as `Gemm`, which stays fp32."""
    return Arithmetic(weights=_grid(products), inputs=Grid(8, BLOCK, "symmetric"), tables=_grid(tables), vectors=False)


def _grid(bits: Bits) -> Grid:
    return Grid(bits, BLOCK, "lowest" if bits == 8 else "range")


def quantize_products(model: onnx.ModelProto, blocks: Blocks, rounding: Rounding = by_weights) -> onnx.ModelProto:
    """Quantize every product with a constant matrix using ONNX Runtime's `MatMulNBitsQuantizer`.

    Raises:
        RefusedError: the model has none.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(model, algo_config=_config(blocks))
    products = quantizer.node_quantizer
    quantize = products.quantize

    def named(node: onnx.NodeProto, graphs: Sequence[onnx.GraphProto]) -> list[onnx.NodeProto]:
        products.qbits_block_quant = lambda weights: rounding(node.input[1], weights, blocks)
        found: list[onnx.NodeProto] = quantize(node, graphs)
        return found

    products.quantize = named
    quantizer.process()
    made: onnx.ModelProto = quantizer.model.model
    if not any(node.op_type == "MatMulNBits" for node in made.graph.node):
        raise RefusedError(f"precision int{blocks.bits}: the model has no product with a constant matrix")
    return made


def quantize_tables(
    model: onnx.ModelProto, blocks: Blocks, only: Collection[str] | None = None, rounding: Rounding = by_weights
) -> None:
    """Quantize every lookup table, or `only` these, in place, and products with the same table, such as a tied head.
    Other uses of the table still get the original.

    Rows are padded to whole blocks, as `MatMulNBits` needs, and truncated after the lookup.
    """
    from onnx import numpy_helper

    graph = model.graph
    stored = {initializer.name: initializer for initializer in graph.initializer}
    turned, multiplied = _turned(graph), products_with_rows(graph)
    lookups = {
        node.output[0]: node.input[0]
        for node in graph.node
        if _looks_up(node, stored) and (only is None or node.input[0] in only)
    }
    tied = set(multiplied.values())
    nodes: list[onnx.NodeProto] = []
    for table in sorted(set(lookups.values())):
        array = numpy_helper.to_array(stored[table])
        nodes += _stored(graph, table, rounding(table, array.T, blocks), blocks, in_half=table not in tied)
    for node in graph.node:
        table = multiplied.get(node.output[0])
        if lookups.keys() & set(node.output):
            nodes += _lookup(node, stored[node.input[0]].dims[1], blocks, in_half=node.input[0] not in tied)
        elif table is not None and table in lookups.values():
            rows, width = stored[table].dims
            nodes.append(_product(node, table, rows, width, blocks))
        else:
            nodes.append(node)
    read = {name for node in nodes for name in node.input} | {port.name for port in graph.output}
    idle = {output for output, table in turned.items() if table in lookups.values() and output not in read}
    nodes = [node for node in nodes if node.output[0] not in idle]
    replace_nodes(model, nodes)


def replace_nodes(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Give the graph these nodes, keep the initializers they read, and declare the operators of ONNX Runtime."""
    import onnx

    graph = model.graph
    read = {name for node in nodes for name in node.input}
    kept = [initializer for initializer in graph.initializer if initializer.name in read]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    if any(node.domain == _DOMAIN for node in nodes) and all(opset.domain != _DOMAIN for opset in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))


def rounded(weights: Array, blocks: Blocks) -> Quantized:
    """A product's weights (K, N), each close to what it was."""
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantizer

    if blocks.zeros:
        return _with_least_error(weights, blocks)
    quantizer = DefaultWeightOnlyQuantizer(_config(blocks))
    made, scales, zeros = quantizer.qbits_block_quant(np.ascontiguousarray(weights))
    return made, scales.reshape(len(made), -1), zeros.reshape(len(made), -1)


def _with_least_error(weights: Array, blocks: Blocks) -> Quantized:
    import torch

    from edgedistill.models.block_rounding import in_blocks, round_blocks

    found = round_blocks(in_blocks(torch.from_numpy(np.array(weights.T, np.float32)), blocks.size), blocks.bits)
    return packed(found, blocks.bits)


def packed(found: Rounded, bits: Bits) -> Quantized:
    """Rounded weights, as files store them."""
    levels, zeros = (part.numpy().astype(np.uint8) for part in (found.levels, found.zero[..., 0]))
    return _packed(levels, bits), found.scale[..., 0].numpy(), _packed(zeros, bits)


def _packed(numbers: Array, bits: Bits) -> Array:
    """Several numbers in a byte, the first in the lowest bits; zeros fill the last byte of a row."""
    share = 8 // bits
    missing = [(0, 0)] * (numbers.ndim - 1) + [(0, -numbers.shape[-1] % share)]
    parts = np.pad(numbers, missing).reshape(*numbers.shape[:-1], -1, share)
    shifted = parts.astype(np.uint8) << (bits * np.arange(share, dtype=np.uint8))
    return np.bitwise_or.reduce(shifted, axis=-1)


def _config(blocks: Blocks) -> DefaultWeightOnlyQuantConfig:
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig

    return DefaultWeightOnlyQuantConfig(
        block_size=blocks.size,
        is_symmetric=not blocks.zeros,
        accuracy_level=INT8_ARITHMETIC,
        op_types_to_quantize=("MatMul",),
        bits=blocks.bits,
    )


def _looks_up(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether it looks up rows of a constant fp32 matrix."""
    import onnx

    table = stored.get(node.input[0]) if node.op_type == "Gather" else None
    if table is None or table.data_type != onnx.TensorProto.FLOAT or len(table.dims) != 2:
        return False
    return _attributes(node).get("axis", 0) == 0 and node.input[1] not in stored


def products_with_rows(graph: onnx.GraphProto) -> dict[str, str]:
    """By output of each product of an input with the rows of a matrix, such as a tied head: the matrix."""
    turned = _turned(graph)
    found = {node.output[0]: _multiplied(node, turned) for node in graph.node if node.output}
    return {output: matrix for output, matrix in found.items() if matrix is not None}


def _turned(graph: onnx.GraphProto) -> dict[str, str]:
    """By name of each transposed matrix: the matrix."""
    return {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Transpose" and _attributes(node).get("perm") == [1, 0]
    }


def _multiplied(node: onnx.NodeProto, turned: Mapping[str, str]) -> str | None:
    """The matrix whose rows the node multiplies its input with, if it is such a product."""
    if node.op_type == "MatMul":
        return turned.get(node.input[1])
    plain = {"transB": 1} | {name: value for name, value in _DEFAULTS.items() if name in _attributes(node)}
    return node.input[1] if node.op_type == "FusedMatMul" and _attributes(node) == plain else None


_DEFAULTS = {"transA": 0, "alpha": 1.0, "transBatchA": 0, "transBatchB": 0}


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    import onnx

    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _stored(
    graph: onnx.GraphProto, table: str, quantized: Quantized, blocks: Blocks, *, in_half: bool
) -> list[onnx.NodeProto]:
    """Put a table's blocks, their scales and zero points into the graph; what turns the blocks into rows."""
    import onnx
    from onnx import numpy_helper

    made, scales, zeros = quantized
    shape = np.array([made.shape[0], made.shape[1] * made.shape[2]])
    arrays = {"blocks": made, "scales": scales.astype(np.float16 if in_half else np.float32), "shape": shape} | (
        {"zeros": zeros} if blocks.zeros else {}
    )
    for name, array in arrays.items():
        graph.initializer.append(numpy_helper.from_array(array, f"{table}_{name}"))
    return [onnx.helper.make_node("Reshape", [f"{table}_blocks", f"{table}_shape"], [f"{table}_rows"])]


def _scaling(table: str, blocks: Blocks) -> list[str]:
    return [f"{table}_scales", *([f"{table}_zeros"] if blocks.zeros else [])]


def _lookup(node: onnx.NodeProto, width: int, blocks: Blocks, *, in_half: bool) -> list[onnx.NodeProto]:
    """Look up rows in fp32. ONNX Runtime's operator gives them in the type of the scales."""
    import onnx

    table, rows, (output,) = node.input[0], node.input[1], node.output
    padded = bool(width % blocks.size)
    whole = f"{output}_padded" if padded else output
    made = [
        onnx.helper.make_node(
            "GatherBlockQuantized",
            [f"{table}_rows", rows, *_scaling(table, blocks)],
            [f"{output}_half" if in_half else whole],
            f"{output}_blocks",
            domain=_DOMAIN,
            gather_axis=0,
            quantize_axis=1,
            block_size=blocks.size,
            bits=blocks.bits,
        )
    ]
    if in_half:
        made.append(onnx.helper.make_node("Cast", [f"{output}_half"], [whole], to=onnx.TensorProto.FLOAT))
    if padded:
        bounds = [
            onnx.helper.make_node("Constant", [], [f"{output}_{name}"], value_ints=[value])
            for name, value in (("first", 0), ("width", width), ("axis", -1))
        ]
        cut = [f"{output}_padded", f"{output}_first", f"{output}_width", f"{output}_axis"]
        made += [*bounds, onnx.helper.make_node("Slice", cut, [output])]
    return made


def _product(node: onnx.NodeProto, table: str, rows: int, width: int, blocks: Blocks) -> onnx.NodeProto:
    import onnx

    return onnx.helper.make_node(
        "MatMulNBits",
        [node.input[0], f"{table}_blocks", *_scaling(table, blocks)],
        node.output,
        f"{node.output[0]}_blocks",
        domain=_DOMAIN,
        K=width,
        N=rows,
        bits=blocks.bits,
        block_size=blocks.size,
        accuracy_level=INT8_ARITHMETIC,
    )
