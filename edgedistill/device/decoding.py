"""Language models that are asked token by token: what a model's file takes and gives, and what keeps its cache.

Shapes: B texts, T new tokens, P tokens before them, V tokens of the vocabulary. Numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from edgedistill.arrays import Array, Arrays, Booleans, Floats, Integers
from edgedistill.contracts.driver import Graph
from edgedistill.errors import EdgedistillError


@dataclass(frozen=True)
class Layout:
    """Names of inputs, outputs and free axes, as optimum and transformers.js read them."""

    tokens: str = "input_ids"
    mask: str = "attention_mask"
    positions: str = "position_ids"
    logits: str = "logits"
    batch: str = "batch_size"
    new: str = "sequence_length"
    kept: str = "past_sequence_length"
    total: str = "total_sequence_length"

    def past(self, layer: int | str, what: Literal["key", "value"] | str) -> str:
        """(B, key-value heads, P, head size) of a layer."""
        return f"past_key_values.{layer}.{what}"

    def present(self, layer: int | str, what: Literal["key", "value"] | str) -> str:
        """(B, key-value heads, P + T, head size) of a layer."""
        return f"present.{layer}.{what}"


LAYOUT = Layout()


@runtime_checkable
class Decoder(Protocol):
    """A language model with the cache of the texts that it was given so far."""

    @property
    def tokens(self) -> Integers:
        """(B, P) what is kept; (0, 0) of nothing."""

    def advance(self, tokens: Integers, real: Booleans | None = None) -> Floats:
        """(B, T, V) logits of (B, T) tokens that follow what is kept, which they join.

        Args:
            real: (B, T) False for padding, which stands on the left of a text, or anywhere behind its end; None: there
                is none. A decoder of one text at a time takes none.
        """

    def rewind(self, count: int) -> None:
        """Keep the first so many tokens only."""


@runtime_checkable
class DecodesItself(Protocol):
    """A graph whose runtime keeps the cache, and gives it to nobody."""

    longest: int
    """How many tokens a text may have, with what follows it."""

    def decoder(self) -> Decoder: ...


def decoder_of(graph: Graph) -> Decoder:
    """One that keeps nothing yet.

    Raises:
        EdgedistillError: the file neither takes nor keeps a cache.
    """
    return graph.decoder() if isinstance(graph, DecodesItself) else CachedDecoder(graph)


def positions_of(real: Booleans) -> Integers:
    """(B, T) the place of each token among the real ones of its text; 0 for padding before them."""
    return np.maximum(real.cumsum(axis=1) - 1, 0)


class CachedDecoder:
    """Feeds a graph what it gave before.

    Raises:
        EdgedistillError: the graph has no cache among its inputs or outputs.
    """

    def __init__(self, graph: Graph) -> None:
        prefix, kept = LAYOUT.past(0, "").removesuffix("0."), LAYOUT.present(0, "").removesuffix("0.")
        self._graph = graph
        self._presents = {name: kept + name.removeprefix(prefix) for name in graph.inputs if name.startswith(prefix)}
        missing = sorted({*self._presents.values(), LAYOUT.logits} - set(graph.outputs))
        if not self._presents or missing:
            lacking = ", ".join(missing) if missing else LAYOUT.past(0, "key")
            raise EdgedistillError(f"the file has no cache to continue from: it lacks {lacking}")
        self._tokens: Integers = np.zeros((0, 0), np.int64)
        self._real: Booleans = np.zeros((0, 0), np.bool_)
        self._past: dict[str, Array] = {}

    @property
    def tokens(self) -> Integers:
        """(B, P)."""
        return self._tokens

    def advance(self, tokens: Integers, real: Booleans | None = None) -> Floats:
        """(B, T, V)."""
        batch = len(tokens)
        new = np.ones(tokens.shape, np.bool_) if real is None else real
        if not self._tokens.size:  # texts of no tokens may become other texts
            self._tokens, self._real = np.zeros((batch, 0), np.int64), np.zeros((batch, 0), np.bool_)
            self._past = {name: self._nothing(name, batch) for name in self._presents}
        self._tokens = np.concatenate([self._tokens, tokens], axis=1)
        self._real = np.concatenate([self._real, new], axis=1)
        positions = positions_of(self._real)[:, -tokens.shape[1] :]
        feeds = {LAYOUT.tokens: tokens, LAYOUT.mask: self._real.astype(np.int64), LAYOUT.positions: positions}
        found = self._graph.run({**feeds, **self._past})
        self._past = {name: found[present] for name, present in self._presents.items()}
        logits: Floats = np.asarray(found[LAYOUT.logits], np.float32)
        return logits

    def rewind(self, count: int) -> None:
        """Keep the first so many tokens only."""
        self._tokens, self._real = self._tokens[:, :count], self._real[:, :count]
        self._past = {name: array[:, :, :count] for name, array in self._past.items()}

    def _nothing(self, name: str, batch: int) -> Array:
        """(B, heads, 0, head size) of the type that the graph takes."""
        port = self._graph.inputs[name]
        assert port.shape is not None
        _, heads, _, size = port.shape
        if heads is None or size is None:
            raise EdgedistillError(f"the file does not declare the width of '{name}': {list(port.shape)}")
        return np.zeros((batch, heads, 0, size), port.dtype)


def scored_alone(decoder: Decoder, feeds: Arrays) -> dict[str, Array]:
    """What a graph of whole texts gives by a decoder of one text at a time: (B, T, V) logits, 0 for padding."""
    tokens = np.asarray(feeds[LAYOUT.tokens], np.int64)
    real = np.asarray(feeds[LAYOUT.mask], np.bool_)
    rows = []
    for row, kept in zip(tokens, real, strict=True):
        decoder.rewind(0)
        found = decoder.advance(row[None, kept])[0]
        logits = np.zeros((len(row), found.shape[1]), np.float32)
        logits[kept] = found
        rows.append(logits)
    return {LAYOUT.logits: np.stack(rows)}
