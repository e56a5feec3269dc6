"""Examples as whole token sequences, from which windows are cut. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.arrays import Integers


@dataclass(frozen=True, eq=False)
class Sequences:
    """E examples in one tokenizer's tokens; their N items are spans of them, and each of D decisions follows a token.

    Items are in the order of `TaskData.encode`, decisions in that of `TaskData.references`.
    """

    ids: Integers
    """All tokens of all examples, concatenated."""
    offsets: Integers
    """(E + 1,) start of each example's tokens."""
    example: Integers
    """(N,) the example of each item."""
    first: Integers
    """(N,) position in its example of each item's first token."""
    item: Integers
    """(D,) the item of each decision."""
    after: Integers
    """(D,) position in its example of the token that each decision follows: the last one it may attend to."""

    def of_example(self, number: int) -> Integers:
        """An example's tokens."""
        return self.ids[self.offsets[number] : self.offsets[number + 1]]
