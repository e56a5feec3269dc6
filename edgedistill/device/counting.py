"""Counting the instructions of a model's runs, in an emulated process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from edgedistill.arrays import Arrays
from edgedistill.contracts.driver import Driver, Graph


def instructions_of_a_run(
    driver: Driver, graphs: Mapping[str, Graph], batches: Sequence[Arrays], counted: Callable[[], int]
) -> float:
    """Mean instructions per inference over these batches.

    They are run once, then twice more, and the difference cancels the cost of counting itself.

    Args:
        counted: returns the number of instructions executed by this process.
    """
    marks = [counted()]
    for part in (batches, [*batches, *batches]):
        for batch in part:
            deque(driver.phases(graphs, batch), maxlen=0)
        marks.append(counted())
    once, twice = marks[1] - marks[0], marks[2] - marks[1]
    return (twice - once) / len(batches)
