"""The device part of language models: one graph from tokens to logits, with or without a KV cache. Numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgedistill.arrays import Array, Arrays, Booleans, Floats, Integers
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import Graph
from edgedistill.contracts.items import Items
from edgedistill.device.decoding import LAYOUT, Decoder, DecodesItself, decoder_of, positions_of
from edgedistill.device.generation import generate, generate_batch
from edgedistill.errors import EdgedistillError
from edgedistill.tasks._language_items import MASK, NEXT, NONE, TOKENS

MODEL, LOGITS = "model", LAYOUT.logits
POSITIONS = LAYOUT.positions
LOG_P, IDS, LOG_PS = "log_p", "ids", "log_ps"
"""Answers: log-probability of the right token (D,), the most likely tokens (D, K) and their log-probabilities."""
KEPT = 16
"""K, unless the vocabulary is smaller."""
PREFILL, DECODE = "prefill", "decode"
"""The timed phases of a file."""
DECODED = 16
"""Tokens to generate after each prompt when timing a file."""
_ROWS = 256
"""Decisions to score at once; each needs log-probabilities over the whole vocabulary."""


def scored(logits: Floats, right: Integers) -> dict[str, Array]:
    """The part of logits (D, V) to keep, given the right tokens; in nats, float32."""
    kept = min(KEPT, logits.shape[1])
    parts = [_scored(logits[i : i + _ROWS], right[i : i + _ROWS], kept) for i in range(0, len(right), _ROWS)]
    if not parts:
        empty = np.zeros((0, kept), np.float32)
        return {LOG_P: empty[:, 0], IDS: empty.astype(np.int32), LOG_PS: empty}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _scored(logits: Floats, right: Integers, kept: int) -> dict[str, Array]:
    values = np.asarray(logits, np.float32)
    rows = np.arange(len(values))[:, None]
    highest = values.max(axis=1, keepdims=True)
    total = highest + np.log(np.exp(values - highest).sum(axis=1, keepdims=True, dtype=np.float64))
    ids = np.argpartition(-values, kept - 1, axis=1)[:, :kept]
    order = np.lexsort((ids, -values[rows, ids]), axis=1)
    ids = ids[rows, order]
    return {
        LOG_P: (values[rows[:, 0], right] - total[:, 0]).astype(np.float32),
        IDS: ids.astype(np.int32),
        LOG_PS: (values[rows, ids] - total).astype(np.float32),
    }


def reader(graph: Graph) -> Decoder:
    """A decoder for a graph: with its cache, or recomputing everything for every token if it has none."""
    cached = isinstance(graph, DecodesItself) or LAYOUT.past(0, "key") in graph.inputs
    return decoder_of(graph) if cached else _Rereader(graph)


class _Rereader:
    """Recomputes the whole text for every token, for a graph without a cache."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.tokens: Integers = np.zeros((0, 0), np.int64)
        self._real: Booleans = np.zeros((0, 0), np.bool_)

    def advance(self, tokens: Integers, real: Booleans | None = None) -> Floats:
        """(B, T, V)."""
        new = np.ones(tokens.shape, np.bool_) if real is None else real
        started = bool(self.tokens.size)
        self.tokens = np.concatenate([self.tokens, tokens], axis=1) if started else tokens
        self._real = np.concatenate([self._real, new], axis=1) if started else new
        mask, positions = self._real.astype(np.int64), positions_of(self._real)
        found = self._graph.run({LAYOUT.tokens: self.tokens, LAYOUT.mask: mask, LAYOUT.positions: positions})
        logits: Floats = np.asarray(found[LOGITS], np.float32)[:, -tokens.shape[1] :]
        return logits

    def rewind(self, count: int) -> None:
        """Keep only the first tokens."""
        self.tokens, self._real = self.tokens[:, :count], self._real[:, :count]


def decoder(graphs: Mapping[str, Graph]) -> Decoder:
    """A decoder for a model's only graph."""
    return reader(graphs[MODEL])


def greedy(graph: Graph, prompts: Sequence[Sequence[int]], count: int) -> Integers:
    """(B, count) greedy continuations of prompts, padded to one batch, or one by one if the runtime takes one at a
    time."""
    if isinstance(graph, DecodesItself):
        return np.array([list(generate(reader(graph), prompt, count)) for prompt in prompts], np.int64)
    return np.stack(list(generate_batch(reader(graph), prompts, count)), axis=1)


def answer(graphs: Mapping[str, Graph], items: Items, chosen: Integers) -> Answers:
    """`log_p` (D,), `ids` and `log_ps` (D, K) for every decision.

    Raises:
        EdgedistillError: the graph does not return one row of logits per token.
    """
    batch, graph = items.batch(chosen), graphs[MODEL]
    tokens, following = batch[TOKENS].astype(np.int64), batch[NEXT].astype(np.int64)
    if isinstance(graph, DecodesItself) and len(tokens) > 1:  # it takes one text at a time
        logits = np.asarray(graph.run({TOKENS: tokens, MASK: batch[MASK]})[LOGITS], np.float32)
    else:
        logits = reader(graph).advance(tokens, _padding(batch[MASK]))
    asked: Booleans = following != NONE
    if logits.ndim != 3 or logits.shape[:2] != tokens.shape or logits.shape[2] <= following.max(initial=0):
        got, wanted = (" x ".join(map(str, shape)) for shape in (logits.shape, tokens.shape))
        raise EdgedistillError(f"the file returns {got} numbers, expected logits for every token of {wanted}")
    item = np.asarray(chosen, np.int64)[np.nonzero(asked)[0]]
    return Answers(scored(logits[asked], following[asked]), item, items.example[item])


def phases(graphs: Mapping[str, Graph], batch: Arrays) -> Iterator[str]:
    """`prefill` of the whole batch, then `decode` of 16 tokens one by one, replacing its last ones, since a text that
    fills the context cannot be continued."""
    decoder, real = reader(graphs[MODEL]), np.asarray(batch[MASK]) != 0
    logits = decoder.advance(np.asarray(batch[TOKENS], np.int64), _padding(batch[MASK]))
    last = real.shape[1] - 1 - np.argmax(real[:, ::-1], axis=1)
    said = logits[np.arange(len(real)), last].argmax(axis=-1)
    yield PREFILL
    if real.shape[1] > DECODED:
        decoder.rewind(real.shape[1] - DECODED)
    for _ in range(DECODED):
        said = decoder.advance(said[:, None])[:, -1].argmax(axis=-1)
        yield DECODE


def _padding(mask: Array) -> Booleans | None:
    """(B, T) False on padding; None without padding."""
    real = np.asarray(mask) != 0
    return None if real.all() else real
