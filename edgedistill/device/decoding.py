"""Token-by-token decoding of language models: inputs and outputs of files, and their KV cache.

Shapes: B texts, T new tokens, P previous tokens, V vocabulary size. Numpy only.
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
    """Names of inputs, outputs and dynamic axes, as optimum and transformers.js expect them."""

    tokens: str = "input_ids"
    mask: str = "attention_mask"
    positions: str = "position_ids"
    logits: str = "logits"
    batch: str = "batch_size"
    new: str = "sequence_length"
    kept: str = "past_sequence_length"
    total: str = "total_sequence_length"

    def past(self, layer: int | str, what: Literal["key", "value"] | str) -> str:
        """(B, key-value heads, P, head size) per layer."""
        return f"past_key_values.{layer}.{what}"

    def present(self, layer: int | str, what: Literal["key", "value"] | str) -> str:
        """(B, key-value heads, P + T, head size) per layer."""
        return f"present.{layer}.{what}"


LAYOUT = Layout()


@runtime_checkable
class Decoder(Protocol):
    """A language model with the cache of the texts so far."""

    @property
    def tokens(self) -> Integers:
        """(B, P) the tokens in the cache; (0, 0) if empty."""

    def advance(self, tokens: Integers, real: Booleans | None = None) -> Floats:
        """(B, T, V) logits of (B, T) tokens that follow the cached ones, and are added to the cache.

        Args:
            real: (B, T) False on padding, which is on the left of a text, or anywhere after its end; None: no padding.
                A decoder for one text at a time does not accept padding.
        """

    def rewind(self, count: int) -> None:
        """Keep only the first tokens."""


@runtime_checkable
class DecodesItself(Protocol):
    """A graph whose runtime manages the cache internally."""

    longest: int
    """Context length in tokens, including the continuation."""

    def decoder(self) -> Decoder: ...


def decoder_of(graph: Graph) -> Decoder:
    """A decoder with an empty cache.

    Raises:
        EdgedistillError: the file has no cache.
    """
    return graph.decoder() if isinstance(graph, DecodesItself) else CachedDecoder(graph)


def positions_of(real: Booleans) -> Integers:
    """(B, T) position of each token among the real ones of its text; 0 for padding before them."""
    return np.maximum(real.cumsum(axis=1) - 1, 0)


class CachedDecoder:
    """Feeds a graph's cache outputs back as inputs.

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
        if not self._tokens.size:  # empty texts can be replaced by others
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
        """Keep only the first tokens."""
        self._tokens, self._real = self._tokens[:, :count], self._real[:, :count]
        self._past = {name: array[:, :, :count] for name, array in self._past.items()}

    def _nothing(self, name: str, batch: int) -> Array:
        """(B, heads, 0, head size) in the graph's type."""
        port = self._graph.inputs[name]
        assert port.shape is not None
        _, heads, _, size = port.shape
        if heads is None or size is None:
            raise EdgedistillError(f"the file does not declare the width of '{name}': {list(port.shape)}")
        return np.zeros((batch, heads, 0, size), port.dtype)


def scored_alone(decoder: Decoder, feeds: Arrays) -> dict[str, Array]:
    """(B, T, V) logits of whole texts from a decoder for one text at a time, 0 on padding."""
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
