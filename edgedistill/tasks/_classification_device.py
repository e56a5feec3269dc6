"""The device half of classification: one graph, one pass, one row of logits for each item. Numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from edgedistill.arrays import Arrays, Integers
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import Driver, Graph
from edgedistill.contracts.items import Items
from edgedistill.errors import EdgedistillError

MODEL, LOGITS = "model", "logits"


def answer(graphs: Mapping[str, Graph], items: Items, chosen: Integers) -> Answers:
    """`logits` (D, C) float32, one row for each item.

    Raises:
        EdgedistillError: the graph returns something else.
    """
    logits = np.asarray(graphs[MODEL].run(items.inputs(chosen))[LOGITS], dtype=np.float32)
    if logits.ndim != 2 or len(logits) != len(chosen):
        shape = " x ".join(map(str, logits.shape))
        raise EdgedistillError(
            f"the file returns {shape} numbers, expected one row of logits for each of {len(chosen)} items"
        )
    return Answers({LOGITS: logits}, np.asarray(chosen, np.int64), items.example[chosen])


def phases(graphs: Mapping[str, Graph], batch: Arrays) -> Iterator[str]:
    """One pass."""
    graphs[MODEL].run(batch)
    yield "inference"


DRIVER = Driver(components=(MODEL,), outputs={MODEL: (LOGITS,)}, answer=answer, phases=phases)
