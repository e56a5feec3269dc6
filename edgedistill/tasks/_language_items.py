"""Columns of a language model's items, decisions and references. Numpy only.

A document is its tokens t0 ... tn. Its items are windows of the inputs t0 ... t(n-1) (`_language_windows`). At every
position the decision is the *next* token, which at a window's last position is the token after the window. So every
token is predicted exactly once, from the part of its window before it; in windows that overlap, only one predicts it.
"""

from __future__ import annotations

import numpy as np

from edgedistill.contracts.answers import References
from edgedistill.contracts.items import Column, Items

TOKENS, MASK = "input_ids", "attention_mask"
NEXT = "next_token"
"""Id of the next token; `NONE` if it is not a target."""
BYTES = "next_bytes"
"""UTF-8 bytes of the data's own text that this token adds; 0 for what the tokenizer or a chat template adds."""
NONE = -100

TOKEN = "token"
"""References: the right token's id, with its `next_bytes`."""


def columns(pad: int) -> dict[str, Column]:
    """Columns of the items. They are padded on the right, which earlier tokens do not attend to."""
    return {
        TOKENS: Column("input", "sequence", pad=pad, tokens=True),
        MASK: Column("input", "sequence"),
        NEXT: Column("target", "sequence", pad=NONE),
        BYTES: Column("target", "sequence"),
    }


def references(items: Items) -> References:
    """One decision per target token: its id and its bytes."""
    following = items.values[NEXT]
    asked = following != NONE
    item = np.repeat(np.arange(len(items)), items.lengths)[asked]
    values = {TOKEN: following[asked].astype(np.int64), BYTES: items.values[BYTES][asked].astype(np.int64)}
    return References(values, item, items.example[item], np.ones(len(item), np.bool_))
