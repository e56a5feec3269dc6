"""Verification of a language model file: continuations of a few prefixes, computed in several ways that must agree.
Numpy only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgedistill.arrays import Array, Arrays, Integers, evenly_spaced
from edgedistill.contracts.driver import Graph
from edgedistill.contracts.items import Items
from edgedistill.contracts.judge import Demand
from edgedistill.tasks._language_device import MODEL, greedy, reader
from edgedistill.tasks._language_items import TOKENS

ALONE, TOGETHER, AT_ONCE = "alone", "together", "at_once"
"""Greedy continuations (P, N): one prefix at a time with the cache; all in one padded batch; and the most likely token
at each position when prefix and continuation are processed in one pass."""
_BEGINNINGS, _TOKENS, _CONTINUED = 16, 16, 64


CHECK_WORDS = {
    "greedy_tokens": "greedy tokens equal to PyTorch's",
    "greedy_texts": "whole continuations equal to PyTorch's",
    "padded_tokens": "tokens in a padded batch equal to alone",
    "uncached_tokens": "tokens without cache equal to with cache",
}
DEMANDS = {
    "greedy_tokens": Demand(fp32=0.5, every=0.0, told=0.0),
    "padded_tokens": Demand(fp32=0.9, every=0.0, told=0.95),
    "uncached_tokens": Demand(fp32=0.9, every=0.5, told=0.95),
}
"""Rounding decides between two equally likely tokens, and a text counts no further than there: even in fp32, one early
tie in 16 texts costs a 16th of `greedy_tokens` and `padded_tokens`, and a runtime's fp16 cache makes ties more common.
Scales that are computed from the input (int8-dynamic) depend on padding and on how many tokens are processed at once,
so nothing is demanded of a quantized file's padded batches. Without a cache each token counts by itself: a file of any
precision that does not repeat half of them does not generate what its figures, from one pass over whole texts,
describe."""


def beginnings(items: Items) -> tuple[list[list[int]], int]:
    """Prefixes of items evenly spaced over the longer half, with different lengths; and the number of tokens to
    generate, such that none becomes longer than the longest item."""
    longest = int(items.lengths.max(initial=1))
    long_enough = np.flatnonzero(items.lengths >= max(1, longest // 2))
    most = max(1, min(_TOKENS, longest // 2))
    found = []
    for number, place in enumerate(evenly_spaced(len(long_enough), _BEGINNINGS)):
        start = int(items.offsets[TOKENS][long_enough[place]])
        length = max(1, most - number % 4)
        found.append(items.values[TOKENS][start : start + length].astype(int).tolist())
    return found, max(1, min(_CONTINUED, longest - most))


def probe(graphs: Mapping[str, Graph], items: Items) -> dict[str, Array]:
    """The continuations of a file."""
    graph = graphs[MODEL]
    starts, count = beginnings(items)
    alone = np.concatenate([greedy(graph, [start], count) for start in starts])
    at_once = []
    for start, said in zip(starts, alone, strict=True):
        logits = reader(graph).advance(np.array([[*start, *said]], np.int64))
        at_once.append(logits[0, len(start) - 1 : -1].argmax(axis=-1))
    return {ALONE: alone, TOGETHER: greedy(graph, starts, count), AT_ONCE: np.stack(at_once)}


def checks(expected: Arrays, found: Arrays) -> Mapping[str, float]:
    """Shares of tokens up to the first difference: the file's greedy continuations compared with PyTorch's, and its own
    in a padded batch and without a cache. Also the share of continuations that equal PyTorch's completely."""
    alone = np.asarray(found[ALONE], np.int64)
    wanted = np.asarray(expected[ALONE], np.int64)
    return {
        "greedy_tokens": _repeated(wanted, alone),
        "greedy_texts": float((wanted == alone).all(axis=1).mean()),
        "padded_tokens": _repeated(alone, np.asarray(found[TOGETHER], np.int64)),
        "uncached_tokens": float((alone == found[AT_ONCE]).mean()),
    }


def _repeated(wanted: Integers, said: Integers) -> float:
    """Share of tokens before the first difference in each row, since after it the texts differ."""
    return float(np.logical_and.accumulate(wanted == said, axis=1).mean())
