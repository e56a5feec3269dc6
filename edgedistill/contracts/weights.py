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
    products: tuple[Matrix, ...]
    """Of every token: inputs, outputs."""
    head: tuple[Matrix, ...]
    """Products of one vector per text, after the layers: inputs, outputs."""
    vectors: int
    """Numbers in biases and norms, the only weights that every precision but fp16 leaves as they are."""
    positions: int = 0
    """Indices of positions that the model holds, 8 bytes each."""

    @property
    def of_layers(self) -> int:
        """Numbers in the products of every token: what the time of an inference grows with."""
        return sum(map(_entries, self.products))


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
        numbers = sum(map(_entries, matrices)) + weights.vectors
        return bytes_per_number * numbers + 8 * weights.positions + graph.bytes_of(weights)

    return sized


def by_column(graph: Graph) -> Sizing:
    """Matrices in a byte per number, products with a scale (4 bytes) and a zero point (1) per output."""

    def sized(weights: Weights) -> int:
        products = (*weights.products, *weights.head)
        matrices = sum(map(_entries, (*weights.tables, *products)))
        scales = 5 * sum(outputs for _, outputs in products)
        return matrices + scales + 4 * weights.vectors + 8 * weights.positions + graph.bytes_of(weights)

    return sized


def in_blocks(products: int, tables: int, block: int, graph: Graph) -> Sizing:
    """Tables and products of every token in blocks of numbers that share a scale (4 bytes) and, of 4 bits, a zero point
    (half a byte, whole bytes per row); the head in fp32.

    Args:
        products, tables: bits per number.
    """

    def matrix(rows: int, width: int, bits: int) -> int:
        blocks = -(-width // block)
        zeros = -(-blocks // 2) if bits == 4 else 0
        return rows * (blocks * (block * bits // 8 + 4) + zeros)

    def sized(weights: Weights) -> int:
        stored = sum(matrix(rows, width, tables) for rows, width in weights.tables)
        stored += sum(matrix(outputs, inputs, products) for inputs, outputs in weights.products)
        left = 4 * (sum(map(_entries, weights.head)) + weights.vectors)
        return stored + left + 8 * weights.positions + graph.bytes_of(weights)

    return sized


def _entries(matrix: Matrix) -> int:
    rows, columns = matrix
    return rows * columns
