"""The weights of an encoder with a head, by how files store them, and the size of a file of them. Light to import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Matrix = tuple[int, int]
"""Rows and columns of a table; inputs and outputs of a product."""


@dataclass(frozen=True)
class Weights:
    """An encoder's weights."""

    layers: int
    tables: tuple[Matrix, ...]
    """Of tokens, positions and types: rows, width."""
    attention: tuple[Matrix, ...]
    """Queries, keys, values and output of every token: inputs, outputs."""
    feed_forward: tuple[Matrix, ...]
    """The other products in the layers."""
    head: tuple[Matrix, ...]
    """Products of one vector per text, after the layers: inputs, outputs."""
    vectors: int
    """Numbers in biases and norms, the only weights that every precision but fp16 leaves as they are."""
    positions: int = 0
    """Indices of positions that the model holds, 8 bytes each."""
    projections: tuple[Matrix, ...] = ()
    """Products between the tables and the first layer (ELECTRA): inputs, outputs."""

    @property
    def products(self) -> tuple[Matrix, ...]:
        """Of every token."""
        return (*self.projections, *self.attention, *self.feed_forward)

    @property
    def of_layers(self) -> int:
        """Numbers in the products of every token: what the time of an inference grows with."""
        return sum(map(entries, self.products))


@dataclass(frozen=True)
class Graph:
    """Bytes of a file that are not weights: operators, names, shapes. Measured on exported encoders."""

    around: int
    """Of the embeddings and the head."""
    layer: int
    """Of each layer."""

    def bytes_of(self, weights: Weights) -> int:
        """For these layers."""
        return self.around + self.layer * weights.layers


Sizing = Callable[[Weights], int]
"""Bytes of a file with these weights."""


def plain(bytes_per_number: int, graph: Graph) -> Sizing:
    """Every weight in the same type."""

    def sized(weights: Weights) -> int:
        matrices = (*weights.tables, *weights.products, *weights.head)
        numbers = sum(map(entries, matrices)) + weights.vectors
        return bytes_per_number * numbers + 8 * weights.positions + graph.bytes_of(weights)

    return sized


def by_column(graph: Graph) -> Sizing:
    """Matrices in a byte per number, products with a scale and a zero point per output."""

    def sized(weights: Weights) -> int:
        stored = sum(map(entries, weights.tables))
        stored += sum(bytes_by_column(outputs, inputs) for inputs, outputs in (*weights.products, *weights.head))
        return stored + 4 * weights.vectors + 8 * weights.positions + graph.bytes_of(weights)

    return sized


def in_blocks(products: int, tables: int, block: int, graph: Graph, of_tables: int | None = None) -> Sizing:
    """Tables and products of every token in blocks; the head in fp32.

    Args:
        products, tables: bits per number.
        block: numbers that share a scale.
        of_tables: numbers of a table that do; None: as many.
    """

    def sized(weights: Weights) -> int:
        shared = block if of_tables is None else of_tables
        stored = sum(bytes_in_blocks(rows, width, tables, shared, scale=2) for rows, width in weights.tables)
        stored += sum(bytes_in_blocks(outputs, inputs, products, block) for inputs, outputs in weights.products)
        left = 4 * (sum(map(entries, weights.head)) + weights.vectors)
        return stored + left + 8 * weights.positions + graph.bytes_of(weights)

    return sized


def bytes_by_column(outputs: int, inputs: int) -> int:
    """A product's matrix in a byte per number, with a scale (4 bytes) and a zero point (1) per output."""
    return outputs * (inputs + 5)


def bytes_in_blocks(rows: int, width: int, bits: int, block: int, scale: int = 4) -> int:
    """Rows of numbers in whole blocks that share a scale (of so many bytes) and, below 8 bits, a zero point of as many
    bits as a number (whole bytes per row)."""
    blocks = -(-width // block)
    zeros = -(-blocks * bits // 8) if bits < 8 else 0
    return rows * (blocks * (block * bits // 8 + scale) + zeros)


def entries(matrix: Matrix) -> int:
    """Numbers in a matrix."""
    rows, columns = matrix
    return rows * columns
