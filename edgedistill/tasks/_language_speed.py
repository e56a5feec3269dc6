"""Speed of a language model file: time to first token, then tokens per second. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgedistill.arrays import Floats, evenly_spaced
from edgedistill.contracts.items import Items
from edgedistill.contracts.speed import Prompts, Speed
from edgedistill.tasks._language_device import DECODE, DECODED, PREFILL
from edgedistill.tasks._language_items import BYTES, MASK, NEXT, NONE, TOKENS


def prompts(items: Items, tokens: int, count: int) -> Items:
    """Evenly spaced pieces of the texts with exactly that many tokens, running across texts, and repeating if the texts
    are too short. Without targets."""
    stream = items.token_ids
    stream = np.tile(stream, -(-tokens // len(stream)))
    starts = evenly_spaced(len(stream) - tokens + 1, count)
    starts = np.resize(starts, count)
    ids = stream[starts[:, None] + np.arange(tokens)]
    content = {
        TOKENS: ids,
        MASK: np.ones_like(ids),
        NEXT: np.full_like(ids, NONE),
        BYTES: np.zeros_like(ids),
    }
    kept = {name: list(rows) for name, rows in content.items() if name in items.columns}
    return Items.of(items.columns, kept, range(count), TOKENS)


def time_to_first(phases: Mapping[str, Floats]) -> Floats:
    """(R,) ms from the prompt to the first token."""
    return np.asarray(phases[PREFILL], np.float64)


def tokens_per_second(phases: Mapping[str, Floats]) -> Floats:
    """(R,) tokens per second after the first token, per text of a batch."""
    return 1e3 * DECODED / np.asarray(phases[DECODE], np.float64)


PROMPTS = Prompts(
    lengths=(16, 128, 512),
    items=prompts,
    speeds=(
        Speed("ttft_ms", "time to first token", "ms", "lower", time_to_first),
        Speed("tokens_per_s", "decoding speed", "tokens/s", "higher", tokens_per_second),
    ),
)
