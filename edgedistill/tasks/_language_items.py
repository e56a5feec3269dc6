"""Names and meaning of what a text is for a language model: columns of its items, decisions, references. Numpy only.

A document is its tokens t0 ... tn. Its items are windows of its inputs t0 ... t(n-1), one after the other, none
overlapping; at every place the decision is the *next* token, which at a window's last place is the first of the next
window. So every token is decided exactly once, with what its window holds before it.
"""

from __future__ import annotations

import numpy as np

from edgedistill.contracts.answers import References
from edgedistill.contracts.items import Column, Items

TOKENS, MASK = "input_ids", "attention_mask"
NEXT = "next_token"
"""Id of the token that follows; `NONE` where it isn't asked for."""
BYTES = "next_bytes"
"""How many bytes of the text that token adds (UTF-8); those of a special token are 0."""
NONE = -100

TOKEN = "token"
"""Of references: the right token's id, beside its `next_bytes`."""


def columns(pad: int) -> dict[str, Column]:
    """Of the items. They are padded on the right, where no token before sees it."""
    return {
        TOKENS: Column("input", "sequence", pad=pad, tokens=True),
        MASK: Column("input", "sequence"),
        NEXT: Column("target", "sequence", pad=NONE),
        BYTES: Column("target", "sequence"),
    }


def references(items: Items) -> References:
    """One decision for every token that is asked for: its id and its bytes."""
    following = items.values[NEXT]
    asked = following != NONE
    item = np.repeat(np.arange(len(items)), items.lengths)[asked]
    values = {TOKEN: following[asked].astype(np.int64), BYTES: items.values[BYTES][asked].astype(np.int64)}
    return References(values, item, items.example[item], np.ones(len(item), np.bool_))
