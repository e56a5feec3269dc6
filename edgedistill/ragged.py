"""Sequences of different lengths, flat in memory: numpy only, so that a measuring process can use it too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

# What a column is padded with; the tokenizer's own padding token stands in `Ragged.pad_token`.
_PADDING = {"labels": -100}


@dataclass(frozen=True)
class Ragged:
    """Columns of N items: a scalar column is (N,), a sequence column flat values with `offsets` (N + 1,)."""

    values: Mapping[str, Array]
    offsets: NDArray[np.int64]
    sequences: frozenset[str]
    pad_token: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) tokens of each item."""
        return np.diff(self.offsets)

    def batch(self, indices: Sequence[int] | NDArray[np.integer], length: int | None = None) -> dict[str, Array]:
        """The items padded to the longest of them, or padded or cut to `length`: sequences (B, T), scalars (B,)."""
        chosen = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[chosen]
        width = int(length or lengths.max(initial=1))
        kept = np.minimum(lengths, width)
        filled = np.arange(width)[None, :] < kept[:, None]
        where = (self.offsets[chosen][:, None] + np.arange(width)[None, :])[filled]
        out: dict[str, Array] = {}
        for name, column in self.values.items():
            if name not in self.sequences:
                out[name] = column[chosen]
                continue
            padded = np.full((len(chosen), width), _PADDING.get(name, 0), dtype=column.dtype)
            if name == "input_ids":
                padded[:] = self.pad_token
            padded[filled] = column[where]
            out[name] = padded
        return out

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> Ragged:
        """These items only, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(self.lengths[chosen])]).astype(np.int64)
        parts = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in chosen]
        where = np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, dtype=np.int64)
        values = {name: column[where if name in self.sequences else chosen] for name, column in self.values.items()}
        return Ragged(values, offsets, self.sequences, self.pad_token)

    def save(self, file: Path) -> None:
        """Write as safetensors."""
        from safetensors.numpy import save_file

        arrays = {f"value.{name}": np.ascontiguousarray(column) for name, column in self.values.items()}
        arrays["offsets"] = self.offsets
        metadata = {"sequences": ",".join(sorted(self.sequences)), "pad_token": str(self.pad_token)}
        save_file(arrays, file, metadata=metadata)

    @classmethod
    def open(cls, file: Path) -> Ragged:
        """Read what `save` wrote."""
        from safetensors import safe_open

        with safe_open(file, framework="numpy") as stored:
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
            metadata = stored.metadata()
        offsets = arrays.pop("offsets")
        values = {name.removeprefix("value."): column for name, column in arrays.items()}
        sequences = frozenset(filter(None, metadata["sequences"].split(",")))
        return cls(values, offsets, sequences, int(metadata["pad_token"]))


def spread(total: int, take: int | None) -> NDArray[np.int64]:
    """Numbers of `take` items out of `total`, evenly spread: data sorted by label must not give the first labels only.
    All of them when there are no more, or for None."""
    if take is None or take >= total:
        return np.arange(total, dtype=np.int64)
    return np.linspace(0, total - 1, take).astype(np.int64)


def length_buckets(
    lengths: NDArray[np.int64], batch_size: int, generator: np.random.Generator | None = None
) -> list[NDArray[np.int64]]:
    """Batches of items of similar length, every item once.

    With a generator, items are shuffled, sorted by length inside pools of 50 batches, and the batches shuffled; without
    one the order is by length only.
    """
    if generator is None:
        order = np.argsort(lengths, kind="stable")
        return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    order = generator.permutation(len(lengths))
    pool = 50 * batch_size
    batches = []
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]
