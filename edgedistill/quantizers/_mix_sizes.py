"""The size of a mix's file, from an encoder's weights."""

from __future__ import annotations

from edgedistill.contracts.precision import CALIBRATED, Mix, PartName
from edgedistill.contracts.weights import Graph, Matrix, Sizing, Weights, bytes_by_column, bytes_in_blocks, entries
from edgedistill.quantizers._blocks import BITS

_DYNAMIC = "int8-dynamic"

# Bytes of operators and names, beyond those in fp32. Measured on exported encoders.
_TABLE = {"fp16": 33, "int8": 250, "int4": 570, "int2": 570}
_PRODUCT = {_DYNAMIC: 490, "int8": 160, "int4": 195, "int2": 195}
_STATIC: dict[PartName, int] = {"embeddings": 955, "attention": 760, "feed_forward": 955, "head": 1700}
"""Of a calibrated product: queries, keys and values share the rounding of their input, and a head rounds a bias."""
_FORGOTTEN = {
    frozenset[str](): Graph(around=0, layer=0),
    frozenset({_DYNAMIC}): Graph(around=160, layer=-440),
    frozenset({CALIBRATED}): Graph(around=-1330, layer=-1995),
    frozenset({_DYNAMIC, CALIBRATED}): Graph(around=-300, layer=250),
}
"""Shapes of values that are not kept in a file with any product in these precisions."""


def mix_sizing(mix: Mix, fp32: Graph) -> Sizing:
    """The size of a mix, within 2%.

    Args:
        fp32: the graph of an fp32 file.
    """

    def sized(weights: Weights) -> int:
        products: dict[PartName, tuple[Matrix, ...]] = {
            "embeddings": weights.projections,
            "attention": weights.attention,
            "feed_forward": weights.feed_forward,
            "head": weights.head,
        }
        stored = 4 * weights.vectors + 8 * weights.positions + fp32.bytes_of(weights)
        stored += sum(_table(table, mix.of("embeddings"), mix.block) for table in weights.tables)
        stored += sum(_product(own, part, mix) for part in products for own in products[part])
        used = {mix.of(part) for part, own in products.items() if own}
        return stored + _FORGOTTEN[frozenset(used & {_DYNAMIC, CALIBRATED})].bytes_of(weights)

    return sized


def _table(table: Matrix, precision: str, block: int) -> int:
    rows, width = table
    if precision == "fp32":
        return 4 * rows * width
    stored = {"fp16": 2 * rows * width, "int8": rows * (width + 4)}
    if precision not in stored:
        stored[precision] = bytes_in_blocks(rows, width, BITS[precision], block, scale=2)
    return stored[precision] + _TABLE[precision]


def _product(product: Matrix, part: PartName, mix: Mix) -> int:
    (inputs, outputs), precision = product, mix.of(part)
    if precision in BITS:
        return bytes_in_blocks(outputs, inputs, BITS[precision], mix.block) + _PRODUCT[precision]
    if precision == _DYNAMIC:
        return bytes_by_column(outputs, inputs) + _PRODUCT[precision]
    if precision == CALIBRATED:
        return bytes_by_column(outputs, inputs) + _STATIC[part]
    return 4 * entries(product)
