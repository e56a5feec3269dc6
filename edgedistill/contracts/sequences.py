"""Examples as whole sequences of tokens: what windows of them are cut from, whatever the tokenizer. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.arrays import Integers


@dataclass(frozen=True, eq=False)
class Sequences:
    """E examples in some tokens; their N items are stretches of them, and each of D decisions follows a token.

    Items stand in the order of `TaskData.encode`, decisions in that of `TaskData.references`.
    """

    ids: Integers
    """All tokens of all examples, one after the other."""
    offsets: Integers
    """(E + 1,) where each example's tokens start."""
    example: Integers
    """(N,) the example of each item."""
    first: Integers
    """(N,) the number in its example of each item's first token."""
    item: Integers
    """(D,) the item of each decision."""
    after: Integers
    """(D,) the number in its example of the token that each decision follows: the last that it may look at."""

    def of_example(self, number: int) -> Integers:
        """An example's tokens."""
        return self.ids[self.offsets[number] : self.offsets[number + 1]]
