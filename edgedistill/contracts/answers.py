"""Answers: what a model said, and references: the right answers, in the same form. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgedistill.arrays import Arrays, Booleans, Integers


@dataclass(frozen=True)
class Answers:
    """What a model said of D decisions: as small as the metrics and the fidelity of its task need.

    A *decision* is one thing that the model is asked about an item: the label of a text, the tag of a word, the next
    token at a position, the vector of a sentence. `values` are arrays (D, ...) by name, which only the task reads;
    `item` (D,) and `example` (D,) say what each decision belongs to, both ascending.
    """

    values: Arrays
    item: Integers
    example: Integers

    def __len__(self) -> int:
        return len(self.item)

    def where(self, chosen: Booleans | Integers) -> Answers:
        """These decisions only."""
        return Answers(
            {name: np.asarray(array)[chosen] for name, array in self.values.items()},
            self.item[chosen],
            self.example[chosen],
        )


@dataclass(frozen=True)
class References(Answers):
    """The right answers to the same decisions, as far as there are any."""

    known: Booleans
    """(D,) whether a decision has a right answer; the others only pair with the model's."""

    @property
    def examples(self) -> Integers:
        """(E,) the examples with at least one known decision, ascending: the rows of every metric's statistics."""
        return np.unique(self.example[self.known])
