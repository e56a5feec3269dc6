"""The device half of the task: runs the exported model, and turns its logits into ratings. Numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from edgedistill.arrays import Array, Arrays, Integers
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import Driver, Graph
from edgedistill.contracts.items import Items


def expected(logits: Array) -> Array:
    """(D,) float32 expected rating from (D, C) logits."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (shifted @ np.arange(logits.shape[1]) / shifted.sum(axis=1)).astype(np.float32)


def answer(graphs: Mapping[str, Graph], items: Items, chosen: Integers) -> Answers:
    """`rating` (D,), one for each of the chosen items, as one padded batch."""
    logits = graphs["model"].run(items.inputs(chosen))["logits"]
    return Answers({"rating": expected(logits)}, np.asarray(chosen, np.int64), items.example[chosen])


def phases(graphs: Mapping[str, Graph], batch: Arrays) -> Iterator[str]:
    """The timed phases."""
    graphs["model"].run(batch)
    yield "inference"


DRIVER = Driver(components=("model",), outputs={"model": ("logits",)}, answer=answer, phases=phases)
