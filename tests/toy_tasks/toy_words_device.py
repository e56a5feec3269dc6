"""The device half of the toy task: one pass, the logits of every word's first token. Numpy only."""

from __future__ import annotations

import numpy as np

from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import Driver


def answer(graphs, items, chosen):
    batch = items.batch(chosen)
    logits = np.asarray(graphs["model"].run(batch)["logits"], np.float32)
    decided = batch["decided"].astype(bool)
    item = np.asarray(chosen)[np.nonzero(decided)[0]]
    return Answers({"logits": logits[decided]}, item, items.example[item])


def phases(graphs, batch):
    graphs["model"].run(batch)
    yield "inference"


DRIVER = Driver(components=("model",), outputs={"model": ("logits",)}, answer=answer, phases=phases)
