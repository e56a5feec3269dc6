"""The device half of the streamed toy task: a first pass over all but the last tokens, then a pass for each of
the last tokens on the state that the pass before left. Numpy only."""

from __future__ import annotations

import numpy as np

from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import Driver

LATE = 2
"""Tokens that come one by one after the first pass; every item has one more at least."""
DECISIONS = 1 + LATE


def _steps(graphs, ids, mask):
    """The name of each phase, and the logits (B, C) after it; padding is on the right."""
    found = graphs["prefill"].run({"input_ids": ids, "attention_mask": _early(mask)})
    yield "prefill", found["logits"]
    last = mask.sum(axis=1) - LATE
    for number in range(LATE):
        token = ids[np.arange(len(ids)), last + number][:, None]
        found = graphs["decode"].run({"token": token, "cache": found["cache"]})
        yield "decode", found["logits"]


def _early(mask):
    """The mask of what the first pass reads: all but the last tokens of each item."""
    places = np.arange(mask.shape[1])[None, :]
    return (places < mask.sum(axis=1, keepdims=True) - LATE).astype(mask.dtype)


def answer(graphs, items, chosen):
    batch = items.inputs(chosen)
    logits = np.stack([given for _, given in _steps(graphs, batch["input_ids"], batch["attention_mask"])], axis=1)
    item = np.repeat(np.asarray(chosen, np.int64), DECISIONS)
    return Answers({"logits": logits.reshape(-1, logits.shape[2]).astype(np.float32)}, item, items.example[item])


def phases(graphs, batch):
    for phase, _ in _steps(graphs, batch["input_ids"], batch["attention_mask"]):
        yield phase


DRIVER = Driver(
    components=("prefill", "decode"),
    outputs={"prefill": ("logits", "cache"), "decode": ("logits", "cache")},
    answer=answer,
    phases=phases,
    token_axes={"cache": 1},
)
