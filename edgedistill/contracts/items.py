"""Items: encoded model inputs of different lengths, stored flat. Numpy only, since measuring processes use them too.

An *example* is one row of the user's data. An *item* is one encoded model input; an example has one or more (windows of
a long sentence, the two sides of a pair, chunks of a document).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from edgedistill.arrays import Array, Arrays, Booleans, Integers, positions

_METADATA = "items"


@dataclass(frozen=True)
class Column:
    """Description of one column that the task's `encode` produces."""

    role: Literal["input", "target"]
    """Whether it is a model input, or only used by losses and metrics."""
    layout: Literal["scalar", "sequence", "block"]
    """One number per item; one per token, padded in a batch; or an array of the same shape for every item (pixels)."""
    pad: float = 0
    side: Literal["right", "left"] = "right"
    """The padding value."""
    tokens: bool = False
    """Whether its values are ids of the tokenizer's tokens."""


@dataclass(frozen=True)
class Items:
    """N items; `columns` describes each of `values`.

    A scalar column is (N,), a block column (N, ...), a sequence column flat values with its `offsets` (N + 1,), from 0.
    `example` (N,) is the row of the data that each item belongs to, ascending unless the items were reordered.
    """

    columns: Mapping[str, Column]
    values: Arrays
    offsets: Mapping[str, Integers]
    example: Integers
    length_of: str | None = None
    """The sequence column that defines an item's length; None: the first sequence among the model's inputs, if any."""

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Column],
        content: Mapping[str, Sequence[object] | Array],
        example: Sequence[int] | Integers,
        length_of: str | None = None,
    ) -> Items:
        """Items from their contents: for each column N numbers, N sequences of numbers, or N equal blocks.

        Raises:
            ValueError: columns with different numbers of items, undeclared columns or shapes, or examples out of order.
        """
        values: dict[str, Array] = {}
        offsets: dict[str, Integers] = {}
        if set(columns) != set(content):
            raise ValueError(f"the items have the columns {sorted(content)}, but declare {sorted(columns)}")
        for name, column in columns.items():
            given = content[name]
            if column.layout == "sequence":
                lengths = [len(sequence) for sequence in given]  # type: ignore[arg-type]
                own = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
                offsets[name] = next((known for known in offsets.values() if np.array_equal(known, own)), own)
                flat = list(chain.from_iterable(given))  # type: ignore[arg-type]
                values[name] = np.array(flat) if flat else np.zeros(0, np.int64)
            else:
                values[name] = np.asarray(given)
        owners = np.asarray(example, np.int64)
        if (np.diff(owners) < 0).any() or (owners < 0).any():
            raise ValueError("the items are not in the order of their examples")
        return cls(columns, values, offsets, owners, length_of).checked()

    def __len__(self) -> int:
        return len(self.example)

    def checked(self) -> Items:
        """These items.

        Raises:
            ValueError: a column with another number of items, or another shape than its layout.
        """
        count = len(self)
        for name, column in self.columns.items():
            shape = self.values[name].shape
            if column.layout == "sequence":
                offsets = self.offsets[name]
                fits = len(shape) == 1 and len(offsets) == count + 1 and offsets[0] == 0 and offsets[-1] == shape[0]
            else:
                fits = shape[:1] == (count,) and (len(shape) == 1) == (column.layout == "scalar")
            if not fits:
                raise ValueError(
                    f"column '{name}' has the shape {shape}, which is not a {column.layout} of {count} items"
                )
        return self

    @property
    def length_column(self) -> str | None:
        """The sequence column that defines an item's length, or None."""
        if self.length_of is not None:
            return self.length_of
        sequences = [name for name, column in self.columns.items() if column.layout == "sequence"]
        return next((name for name in sequences if self.columns[name].role == "input"), None)

    @property
    def token_column(self) -> str | None:
        """The column with the tokenizer's tokens, or None."""
        return next((name for name, column in self.columns.items() if column.tokens), None)

    @property
    def token_ids(self) -> Integers:
        """Ids of all tokens of all items, concatenated; empty if no column has tokens."""
        name = self.token_column
        return np.zeros(0, np.int64) if name is None else self.values[name].astype(np.int64)

    @property
    def lengths(self) -> Integers:
        """(N,) tokens of each item; 1 where no column is a sequence."""
        name = self.length_column
        return np.ones(len(self), np.int64) if name is None else np.diff(self.offsets[name])

    def batch(self, chosen: Sequence[int] | Integers, length: int | None = None) -> dict[str, Array]:
        """The items padded to the longest, or padded or truncated to `length`: sequences (B, T), scalars (B,), blocks
        (B, ...)."""
        return self._batch(self.columns, chosen, length)

    def inputs(self, chosen: Sequence[int] | Integers, length: int | None = None) -> dict[str, Array]:
        """`batch` of the model's inputs only."""
        return self._batch(self._named("input"), chosen, length)

    def targets(self, chosen: Sequence[int] | Integers, length: int | None = None) -> dict[str, Array]:
        """`batch` of the other columns."""
        return self._batch(self._named("target"), chosen, length)

    def real(self, chosen: Sequence[int] | Integers, length: int | None = None) -> Booleans:
        """(B, T) True on tokens and False on padding; (B, 1) of True if no column is a sequence."""
        name, indices = self.length_column, np.asarray(chosen, np.int64)
        if name is None:
            return np.ones((len(indices), 1), np.bool_)
        return _Places.of(self.offsets[name], indices, length).filled(self.columns[name].side)

    def take(self, chosen: Sequence[int] | Integers) -> Items:
        """These items only, in that order, renumbered; their examples keep their numbers."""
        indices = np.asarray(chosen, dtype=np.int64)
        known: dict[int, tuple[Integers, Integers]] = {}
        values, offsets = dict[str, Array](), dict[str, Integers]()
        for name, column in self.columns.items():
            if column.layout != "sequence":
                values[name] = self.values[name][indices]
                continue
            own = self.offsets[name]
            if id(own) not in known:
                lengths = own[indices + 1] - own[indices]
                taken = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
                known[id(own)] = taken, np.repeat(own[indices] - taken[:-1], lengths) + np.arange(taken[-1])
            offsets[name], where = known[id(own)]
            values[name] = self.values[name][where]
        return replace(self, values=values, offsets=offsets, example=self.example[indices])

    def reading(self, inputs: Collection[str]) -> Items:
        """The same with these inputs only; targets stay."""
        kept = {name: column for name, column in self.columns.items() if column.role != "input" or name in inputs}
        return replace(
            self,
            columns=kept,
            values={name: self.values[name] for name in kept},
            offsets={name: own for name, own in self.offsets.items() if name in kept},
        )

    def of_examples(self, examples: Sequence[int] | Integers) -> Integers:
        """Indices of all items of these examples, example by example in the order given."""
        return positions(self.example, examples)

    def save(self, file: Path) -> None:
        """Write as safetensors."""
        from safetensors.numpy import save_file

        arrays = {f"value.{name}": np.ascontiguousarray(array) for name, array in self.values.items()}
        arrays["example"] = np.ascontiguousarray(self.example)
        shared: dict[int, str] = {}
        for name, offsets in self.offsets.items():
            if id(offsets) not in shared:
                shared[id(offsets)] = name
                arrays[f"offsets.{name}"] = np.ascontiguousarray(offsets)
        facts = {
            "columns": {name: asdict(column) for name, column in self.columns.items()},
            "offsets": {name: shared[id(offsets)] for name, offsets in self.offsets.items()},
            "length_of": self.length_of,
        }
        save_file(arrays, file, metadata={_METADATA: json.dumps(facts)})

    @classmethod
    def open(cls, file: Path) -> Items:
        """Read what `save` wrote.

        Raises:
            ValueError: the file does not contain items, or is inconsistent.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, framework="numpy") as stored:
                metadata = stored.metadata() or {}
                arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
        except SafetensorError as error:
            raise ValueError(f"{file.name} is not a safetensors file: {error}") from error
        if _METADATA not in metadata:
            raise ValueError(f"{file.name} does not contain items")
        facts = json.loads(metadata[_METADATA])
        columns = {name: Column(**column) for name, column in facts["columns"].items()}
        return cls(
            columns,
            {name: arrays[f"value.{name}"] for name in columns},
            {name: arrays[f"offsets.{owner}"] for name, owner in facts["offsets"].items()},
            arrays["example"],
            facts["length_of"],
        ).checked()

    def _named(self, role: str) -> dict[str, Column]:
        return {name: column for name, column in self.columns.items() if column.role == role}

    def _batch(
        self, columns: Mapping[str, Column], chosen: Sequence[int] | Integers, length: int | None
    ) -> dict[str, Array]:
        indices = np.asarray(chosen, dtype=np.int64)
        places: dict[int, _Places] = {}
        out: dict[str, Array] = {}
        for name, column in columns.items():
            values = self.values[name]
            if column.layout != "sequence":
                out[name] = values[indices]
                continue
            offsets = self.offsets[name]
            if id(offsets) not in places:
                places[id(offsets)] = _Places.of(offsets, indices, length)
            own = places[id(offsets)]
            padded = np.full((len(indices), own.width), column.pad, dtype=values.dtype)
            padded[own.filled(column.side)] = values[own.where]
            out[name] = padded
        return out


@dataclass(frozen=True)
class _Places:
    """The source of a padded batch's values: the kept lengths (B,), and each value's position in flat memory."""

    width: int
    kept: Integers
    where: Integers

    @classmethod
    def of(cls, offsets: Integers, indices: Integers, length: int | None) -> _Places:
        starts = offsets[indices]
        lengths = offsets[indices + 1] - starts
        width = int(length or max(1, lengths.max(initial=1)))
        kept = np.minimum(lengths, width)
        places = np.arange(width)[None, :]
        return cls(width, kept, (starts[:, None] + places)[places < kept[:, None]])

    def filled(self, side: Literal["right", "left"]) -> Booleans:
        """(B, T) which positions have a value."""
        places = np.arange(self.width)[None, :]
        if side == "left":
            return np.asarray(places >= self.width - self.kept[:, None])
        return np.asarray(places < self.kept[:, None])


def joined(parts: Iterable[Items], examples: Sequence[int] | None = None) -> Items:
    """The items of all parts, concatenated.

    Args:
        examples: number of examples in each part, used to offset the later parts'. None: examples keep their numbers.

    Raises:
        ValueError: no parts, or parts with different columns.
    """
    every = list(parts)
    if not every:
        raise ValueError("there are no items to join")
    first = every[0]
    if any(part.columns != first.columns for part in every):
        raise ValueError(f"items with different columns cannot be joined: {[sorted(part.columns) for part in every]}")
    firsts = [0] * len(every) if examples is None else [sum(examples[:number]) for number in range(len(every))]
    values = {name: np.concatenate([part.values[name] for part in every]) for name in first.columns}
    known: dict[tuple[int, ...], Integers] = {}
    offsets: dict[str, Integers] = {}
    for name in first.offsets:
        own = [part.offsets[name] for part in every]
        key = tuple(id(array) for array in own)
        if key not in known:
            lengths = np.concatenate([np.diff(array) for array in own])
            known[key] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        offsets[name] = known[key]
    example = np.concatenate([part.example + start for part, start in zip(every, firsts, strict=True)])
    return Items(first.columns, values, offsets, example.astype(np.int64), first.length_of)
