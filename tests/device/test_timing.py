from __future__ import annotations

import time

import numpy as np
from helpers import unused

from edgedistill.contracts.driver import Driver
from edgedistill.contracts.items import Column, Items
from edgedistill.device.counting import instructions_of_a_run
from edgedistill.device.timing import Turns, batches_of

LENGTHS = [1, 3, 2, 4, 2]
ITEMS = Items.of(
    {"ids": Column("input", "sequence"), "label": Column("target", "scalar")},
    {"ids": [[10 + n] * length for n, length in enumerate(LENGTHS)], "label": np.arange(5)},
    range(5),
)


class Clock:
    """Moves by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.ran: list[list[list[int]]] = []

    def phases(self, graphs, batch):
        """Prefill, then a decode step for each token."""
        self.ran.append(batch["ids"].tolist())
        self.now += 50
        yield "prefill"
        for _ in range(batch["ids"].shape[1]):
            self.now += 2
            yield "decode"

    def __call__(self):
        return self.now


def driver(clock):
    return Driver(("model",), {"model": ()}, unused, clock.phases)


def test_only_whole_batches_are_timed():
    assert [batch["ids"].shape for batch in batches_of(ITEMS, 2, None)] == [(2, 3), (2, 4)]
    (only,) = batches_of(ITEMS, 8, 6)
    assert only["ids"].shape == (5, 6)


def test_phases_are_timed_apart_and_those_of_one_name_add_up():
    clock = Clock()
    turns = Turns(driver(clock), {}, batches_of(ITEMS, 1, None), clock)
    assert turns.run_next() == {"prefill": 50.0, "decode": 2.0}
    assert turns.run_next() == {"prefill": 50.0, "decode": 6.0}


def test_a_turn_lasts_until_both_the_time_and_the_runs_are_reached_and_goes_on_where_the_last_ended(monkeypatch):
    clock, seconds = Clock(), iter(np.arange(0.0, 100.0, 0.5))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(seconds)))
    turns = Turns(driver(clock), {}, batches_of(ITEMS, 1, None), clock)
    assert len(turns.run_for(2.0, 1)) == 4
    assert len(turns.run_for(0.0, 7)) == 7
    assert [ran[0][0] for ran in clock.ran] == [10, 11, 12, 13, 14, 10, 11, 12, 13, 14, 10]


def test_instructions_are_those_of_one_run():
    """Counting costs 1000 itself; a run costs 7 for each of its tokens."""
    clock, calls = Clock(), iter(range(1, 10))
    found = instructions_of_a_run(
        driver(clock),
        {},
        batches_of(ITEMS, 1, None),
        lambda: 1000 * next(calls) + 7 * sum(len(ran[0]) for ran in clock.ran),
    )
    assert found == 7 * sum(LENGTHS) / 5
    assert len(clock.ran) == 15
