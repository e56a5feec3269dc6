"""Answers (a model's predictions) and references (the ground truth), in the same form. Numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from edgedistill.arrays import Array, Arrays, Booleans, Integers, positions


@dataclass(frozen=True)
class Answers:
    """A model's predictions for D decisions, as compact as the task's metrics and fidelity allow.

    A *decision* is one prediction about an item: the label of a text, the tag of a word, the next token at a position,
    the vector of a sentence. `values` are arrays (D, ...) by name, which only the task interprets; `item` (D,) and
    `example` (D,) give what each decision belongs to, both ascending.
    """

    values: Arrays
    item: Integers
    example: Integers

    def __len__(self) -> int:
        return len(self.item)

    def where(self, chosen: Booleans | Integers) -> Self:
        """These decisions only, in that order; items and examples keep their numbers."""
        return replace(
            self,
            values={name: np.asarray(array)[chosen] for name, array in self.values.items()},
            item=self.item[chosen],
            example=self.example[chosen],
        )

    def of_items(self, items: Sequence[int] | Integers) -> Self:
        """The decisions of these items only, in that order; items and examples keep their numbers."""
        return self.where(positions(self.item, items))

    def save(self, file: Path) -> None:
        """Write as safetensors."""
        from safetensors.numpy import save_file

        save_file(self._arrays(), file)

    @classmethod
    def open(cls, file: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: the file has other contents.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(file)
        except SafetensorError as error:
            raise ValueError(f"{file.name} is not a safetensors file: {error}") from error
        values = {name[len("value.") :]: arrays.pop(name) for name in sorted(arrays) if name.startswith("value.")}
        try:
            return cls(values, **arrays)
        except TypeError as error:
            raise ValueError(f"{file.name} contains {sorted(arrays)}, which are not {cls.__name__.lower()}") from error

    def _arrays(self) -> dict[str, Array]:
        arrays = {f"value.{name}": np.ascontiguousarray(array) for name, array in self.values.items()}
        return {**arrays, "item": np.ascontiguousarray(self.item), "example": np.ascontiguousarray(self.example)}


@dataclass(frozen=True)
class References(Answers):
    """The right answers for the same decisions, where known."""

    known: Booleans
    """(D,) whether a decision has a right answer; the others only keep the pairing with the model's."""

    @property
    def examples(self) -> Integers:
        """(E,) the examples with at least one known decision, ascending: the rows of every metric's statistics."""
        return np.unique(self.example[self.known])

    def where(self, chosen: Booleans | Integers) -> Self:
        """These decisions only, in that order; items and examples keep their numbers."""
        return replace(super().where(chosen), known=self.known[chosen])

    def counts(self, items: int) -> Integers:
        """(N,) the number of decisions of each of N items."""
        return np.bincount(self.item, minlength=items)

    def _arrays(self) -> dict[str, Array]:
        return {**super()._arrays(), "known": np.ascontiguousarray(self.known)}


def gathered(parts: Sequence[Answers]) -> Answers:
    """The answers of several batches concatenated, in the order of their items.

    Raises:
        ValueError: no parts.
    """
    if not parts:
        raise ValueError("there are no answers to gather")
    item = np.concatenate([part.item for part in parts])
    order = np.argsort(item, kind="stable")
    values = {name: np.concatenate([part.values[name] for part in parts])[order] for name in parts[0].values}
    return Answers(values, item[order], np.concatenate([part.example for part in parts])[order])
