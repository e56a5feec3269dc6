"""Items: encoded inputs of a model, of different lengths, flat in memory. Numpy only: a measuring process uses them too.

An *example* is one row of the user's data. An *item* is one encoded input of the model; an example has one or several
(windows of a long sentence, the two sides of a pair, chunks of a document).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edgedistill.arrays import Array, Arrays, Integers


@dataclass(frozen=True)
class Column:
    """What a task says of one column that its `encode` makes."""

    role: Literal["input", "target"]
    """Whether the model takes it, or only losses and metrics read it."""
    layout: Literal["scalar", "sequence", "block"]
    """One number per item; one per token, padded in a batch; or an array of the same shape for every item (pixels)."""
    pad: float = 0
    side: Literal["right", "left"] = "right"
    """Where a batch is padded."""


@dataclass(frozen=True)
class Items:
    """N items: `columns` says what each of `values` is.

    A scalar column is (N,), a block column (N, ...), a sequence column flat values with its `offsets` (N + 1,).
    `example` (N,) is the example that each item belongs to, in ascending order, numbered as the rows of the data.
    """

    columns: Mapping[str, Column]
    values: Arrays
    offsets: Mapping[str, Integers]
    example: Integers
    length_of: str | None = field(default=None)
    """The sequence column that counts as an item's length (its tokens); None: the first sequence input, if any."""

    def __len__(self) -> int:
        return len(self.example)

    @property
    def lengths(self) -> Integers:
        """(N,) tokens of each item; 1 where no column is a sequence."""
        name = self.length_of or next(
            (name for name, column in self.columns.items() if column.layout == "sequence"), None
        )
        return np.ones(len(self), np.int64) if name is None else np.diff(self.offsets[name])

    def batch(self, chosen: Integers, length: int | None = None) -> dict[str, Array]:
        """The items padded to the longest of them, or padded or cut to `length`: sequences (B, T), scalars (B,),
        blocks (B, ...)."""
        raise NotImplementedError

    def inputs(self, chosen: Integers, length: int | None = None) -> dict[str, Array]:
        """`batch`, of the columns that the model takes."""
        return {name: array for name, array in self.batch(chosen, length).items() if self.columns[name].role == "input"}
