"""The device half of a task with state between its calls: three decisions of each item, the sum of its tokens and of
one and two more after them."""

from __future__ import annotations

import numpy as np

from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import Driver

STEPS = (100, 1000)


def _steps(graphs, batch):
    found = graphs["prefill"].run(batch)
    yield "prefill", found["sums"]
    for token in STEPS:
        found = graphs["decode"].run({"token": np.full((len(batch["ids"]), 1), token), "cache": found["cache"]})
        yield "decode", found["sums"]


def answer(graphs, items, chosen):
    parts = [[sums for _, sums in _steps(graphs, items.inputs([item]))] for item in chosen]
    decisions = 1 + len(STEPS)
    return Answers(
        {"sums": np.concatenate([sums for part in parts for sums in part])},
        np.repeat(chosen, decisions),
        np.repeat(items.example[chosen], decisions),
    )


def phases(graphs, batch):
    for phase, _ in _steps(graphs, batch):
        yield phase


DRIVER = Driver(
    components=("prefill", "decode"),
    outputs={"prefill": ("sums", "cache"), "decode": ("sums", "cache")},
    answer=answer,
    phases=phases,
    token_axes={"cache": 2},
)
