"""Runs a model's graphs on items, one by one or in padded batches."""

from __future__ import annotations

from collections.abc import Mapping

from edgedistill.arrays import Integers
from edgedistill.contracts.answers import Answers, gathered
from edgedistill.contracts.driver import Driver, Graph
from edgedistill.contracts.items import Items


def answer(driver: Driver, graphs: Mapping[str, Graph], items: Items, chosen: Integers, batch: int) -> Answers:
    """The graphs' answers for the chosen items.

    Args:
        chosen: indices of items.
        batch: batch size, in the given order, padded to the longest item.
    """
    return gathered(
        [driver.answer(graphs, items, chosen[start : start + batch]) for start in range(0, len(chosen), batch)]
    )
