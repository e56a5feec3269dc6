"""Times a model's graphs on pre-padded batches, phase by phase."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgedistill.arrays import Array, Arrays
from edgedistill.contracts.driver import Driver, Graph
from edgedistill.contracts.items import Items


def batches_of(items: Items, batch: int, length: int | None) -> list[dict[str, Array]]:
    """The items in batches, in order, padded to the longest or padded or truncated to `length`. A smaller batch only
    occurs if there are no more items."""
    starts = range(0, len(items), batch)
    whole = [start for start in starts if start + batch <= len(items)] or list(starts)
    return [items.batch(np.arange(start, min(start + batch, len(items))), length) for start in whole]


class Turns:
    """Runs the batches in a cycle.

    Args:
        clock: milliseconds.
    """

    def __init__(
        self, driver: Driver, graphs: Mapping[str, Graph], batches: Sequence[Arrays], clock: Callable[[], float]
    ) -> None:
        self._driver, self._graphs, self._batches, self._clock = driver, graphs, batches, clock
        self._next = 0

    def run_next(self) -> dict[str, float]:
        """Milliseconds of each phase of one run on the next batch."""
        batch = self._batches[self._next % len(self._batches)]
        self._next += 1
        spent: dict[str, float] = defaultdict(float)
        before = self._clock()
        for phase in self._driver.phases(self._graphs, batch):
            now = self._clock()
            spent[phase] += now - before
            before = now
        return dict(spent)

    def run_for(self, seconds: float, least: int) -> list[dict[str, float]]:
        """Continue until both `seconds` and `least` runs are reached."""
        samples: list[dict[str, float]] = []
        begun = time.perf_counter()
        while len(samples) < least or time.perf_counter() - begun < seconds:
            samples.append(self.run_next())
        return samples
