"""The device half of the toy task of vectors: one pass, one vector for each item. Numpy only."""

from __future__ import annotations

import numpy as np

from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import Driver

VECTOR = "vector"


def answer(graphs, items, chosen):
    vectors = np.asarray(graphs["model"].run(items.inputs(chosen))[VECTOR], np.float32)
    return Answers({VECTOR: vectors}, np.asarray(chosen, np.int64), items.example[chosen])


def phases(graphs, batch):
    graphs["model"].run(batch)
    yield "inference"


DRIVER = Driver(components=("model",), outputs={"model": (VECTOR,)}, answer=answer, phases=phases)
