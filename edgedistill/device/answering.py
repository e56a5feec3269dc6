"""Asking a model's graphs for its answers to items, one by one or in padded batches."""

from __future__ import annotations

from collections.abc import Mapping

from edgedistill.arrays import Integers
from edgedistill.contracts.answers import Answers, gathered
from edgedistill.contracts.driver import Driver, Graph
from edgedistill.contracts.items import Items


def answer(driver: Driver, graphs: Mapping[str, Graph], items: Items, chosen: Integers, batch: int) -> Answers:
    """What the graphs answer to the chosen items.

    Args:
        chosen: numbers of items.
        batch: items at once, in the order given, padded to the longest of them.
    """
    return gathered(
        [driver.answer(graphs, items, chosen[start : start + batch]) for start in range(0, len(chosen), batch)]
    )
