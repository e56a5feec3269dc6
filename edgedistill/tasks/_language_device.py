"""The device half of language models: one graph from tokens to logits, with a cache of keys and values, or without.

The graph takes `input_ids`, `attention_mask` (of the cache and of the new tokens), `position_ids` and
`past_key_values.N.key/value`, and gives `logits` and `present.N.key/value`, as `transformers.js` and optimum's
`ORTModelForCausalLM` read it; what it doesn't take is left out. Numpy only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgedistill.arrays import Array, Arrays, Booleans, Floats, Integers
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import Graph
from edgedistill.contracts.items import Items
from edgedistill.errors import EdgedistillError

from ._language_items import MASK, NEXT, NONE, TOKENS

MODEL, LOGITS = "model", "logits"
POSITIONS = "position_ids"
PAST, PRESENT = "past_key_values.", "present."
LOG_P, IDS, LOG_PS = "log_p", "ids", "log_ps"
"""Of answers: log-probability of the right token (D,), the likeliest tokens (D, K) and their log-probabilities."""
KEPT = 16
"""K, unless the vocabulary is smaller."""
DECODED = 16
"""Tokens that are generated after each prompt when a file is timed."""
_ROWS = 256
"""Decisions scored at once: their log-probabilities are as many copies of the vocabulary."""


def scored(logits: Floats, right: Integers) -> dict[str, Array]:
    """What is kept of logits (D, V) of decisions whose right tokens these are; in nats, float32."""
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


def empty_cache(graph: Graph, batch: int) -> dict[str, Array]:
    """What a graph with a cache is given before the first token: keys and values of no tokens; {} without a cache."""
    found = {}
    for name, port in graph.inputs.items():
        if name.startswith(PAST):
            if port.shape is None:
                raise EdgedistillError(f"the file doesn't tell the shape of its input {name!r}")
            sizes = [0 if size is None else size for size in port.shape]
            found[name] = np.zeros((batch, *sizes[1:]), port.dtype)
    return found


def step(graph: Graph, tokens: Integers, mask: Integers, cache: Arrays) -> tuple[Floats, dict[str, Array]]:
    """One pass over new tokens: logits (B, T, V), and the cache with them.

    Args:
        tokens: (B, T) new ones.
        mask: (B, P + T) 1 on real tokens, of the P cached ones too: padding may stand on either side.
        cache: of the tokens before.
    """
    positions = np.maximum(np.cumsum(mask, axis=1) - 1, 0)[:, -tokens.shape[1] :]
    found = graph.run({TOKENS: tokens, MASK: mask, POSITIONS: positions, **cache})
    grown = {name: found[PRESENT + name.removeprefix(PAST)] for name in cache}
    return np.asarray(found[LOGITS], np.float32), grown


def whole(graph: Graph, tokens: Integers) -> Floats:
    """(B, T, V) logits of texts that are read in one pass."""
    logits, _ = step(graph, tokens, np.ones_like(tokens), empty_cache(graph, len(tokens)))
    return logits


def left_padded(prompts: Sequence[Sequence[int]], pad: int = 0) -> tuple[Integers, Integers]:
    """(B, T) tokens and mask of prompts of different lengths, so that all of them go on at the same place."""
    width = max(map(len, prompts))
    tokens = np.full((len(prompts), width), pad, np.int64)
    mask = np.zeros((len(prompts), width), np.int64)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return tokens, mask


def greedy(graph: Graph, prompts: Sequence[Sequence[int]], count: int) -> Integers:
    """(B, count) the likeliest tokens after prompts that are padded to one batch: from the cache, or read anew for each
    token by a graph without one."""
    tokens, mask = left_padded(prompts)
    logits, cache = step(graph, tokens, mask, empty_cache(graph, len(prompts)))
    said = [logits[:, -1].argmax(axis=-1)]
    while len(said) < count:
        mask = np.concatenate([mask, np.ones((len(prompts), 1), np.int64)], axis=1)
        tokens = said[-1][:, None] if cache else np.concatenate([tokens, said[-1][:, None]], axis=1)
        logits, cache = step(graph, tokens, mask, cache)
        said.append(logits[:, -1].argmax(axis=-1))
    return np.stack(said, axis=1)


def answer(graphs: Mapping[str, Graph], items: Items, chosen: Integers) -> Answers:
    """`log_p` (D,), `ids` and `log_ps` (D, K) of every token that is asked for.

    Raises:
        EdgedistillError: the graph gives something else than a row of logits for each token.
    """
    batch, graph = items.batch(chosen), graphs[MODEL]
    tokens, following = batch[TOKENS].astype(np.int64), batch[NEXT].astype(np.int64)
    logits, _ = step(graph, tokens, batch[MASK].astype(np.int64), empty_cache(graph, len(chosen)))
    asked: Booleans = following != NONE
    if logits.ndim != 3 or logits.shape[:2] != tokens.shape or logits.shape[2] <= following.max(initial=0):
        got, wanted = (" x ".join(map(str, shape)) for shape in (logits.shape, tokens.shape))
        raise EdgedistillError(f"the file gives {got} numbers, expected logits of every token of {wanted}")
    item = np.asarray(chosen, np.int64)[np.nonzero(asked)[0]]
    return Answers(scored(logits[asked], following[asked]), item, items.example[item])


def phases(graphs: Mapping[str, Graph], batch: Arrays) -> Iterator[str]:
    """`prefill` of the whole batch, then, of a graph with a cache, `decode` of 16 tokens one by one."""
    graph = graphs[MODEL]
    tokens, mask = np.asarray(batch[TOKENS], np.int64), np.asarray(batch[MASK], np.int64)
    logits, cache = step(graph, tokens, mask, empty_cache(graph, len(tokens)))
    last = mask.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1)
    said = logits[np.arange(len(tokens)), last].argmax(axis=-1)
    yield "prefill"
    for _ in range(DECODED if cache else 0):
        mask = np.concatenate([mask, np.ones((len(tokens), 1), np.int64)], axis=1)
        logits, cache = step(graph, said[:, None], mask, cache)
        said = logits[:, -1].argmax(axis=-1)
        yield "decode"
