"""The search on toy costs that add up, against all mixes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.contracts.mix_search import Tried
from edgedistill.evaluation.mix_search import Unit, Wanted, affordable, search_mix

LADDER = ("int4", "int8-dynamic", "fp32")
SIZES = {"int2": 0.25, "int4": 0.5, "int8": 1.0, "int8-dynamic": 1.0, "fp32": 4.0}
SHARES = {"int2": 4.0, "int4": 1.0, "int8": 0.1, "int8-dynamic": 0.1, "fp32": 0.0}
"""Of a unit's drop."""
AMPLE = 200


class Toy:
    """A model whose drop, bytes and time are sums over its units."""

    def __init__(self, drops, weights=None, saved=None) -> None:
        self.drops, self.weights = drops, weights or [100] * len(drops)
        self.saved = saved or [0.01] * len(drops)
        self.units = [Unit("attention", layer, count) for layer, count in enumerate(self.weights)]
        self.calls: list[dict[str, str]] = []

    def seen(self, parts) -> Tried:
        precisions = [parts.get(unit.name, "fp32") for unit in self.units]
        drop = sum(own * SHARES[precision] for own, precision in zip(self.drops, precisions, strict=True))
        size = sum(own * SIZES[precision] for own, precision in zip(self.weights, precisions, strict=True))
        saved = sum(own for own, precision in zip(self.saved, precisions, strict=True) if precision != "fp32")
        return Tried(round(1000 * size), drop, drop, 10 * (1 - saved), 10.0)

    def __call__(self, parts) -> Tried:
        self.calls.append(dict(parts))
        return self.seen(parts)

    def every(self, ladder):
        for chosen in itertools.product(ladder, repeat=len(self.units)):
            parts = {unit.name: own for unit, own in zip(self.units, chosen, strict=True) if own != "fp32"}
            if parts:
                yield self.seen(parts)


drops = st.lists(st.integers(0, 50).map(lambda number: number / 1000), min_size=1, max_size=5)
bounds = st.integers(0, 120).map(lambda number: number / 1000)


@given(drops, bounds)
def test_the_smallest_of_all_mixes_is_found_where_units_are_equally_large(drops, bound):
    toy = Toy(drops)
    found = search_mix(toy.units, Wanted(bound, "size", AMPLE, ("int4", "fp32")), toy)
    fitting = [seen.bytes for seen in toy.every(("int4", "fp32")) if seen.drop <= bound + 1e-12]
    assert (found.blocked is None) == bool(fitting)
    if fitting:
        assert found.trials[found.chosen].fits
        assert found.trials[found.chosen].seen.bytes == min(fitting)


@given(st.data(), drops, bounds)
def test_no_unit_can_be_lowered_further(data, drops, bound):
    weights = data.draw(st.lists(st.integers(1, 1000), min_size=len(drops), max_size=len(drops)))
    toy = Toy(drops, weights)
    found = search_mix(toy.units, Wanted(bound, "size", AMPLE, LADDER), toy)
    assert not found.exhausted
    chosen = found.trials[found.chosen]
    if found.blocked is not None:
        assert all(seen.drop > bound for seen in toy.every(LADDER))
        return
    assert chosen.seen.drop <= bound + 1e-12
    for unit in toy.units:
        now = LADDER.index(chosen.parts.get(unit.name, "fp32"))
        for lower in LADDER[:now]:
            assert toy.seen({**chosen.parts, unit.name: lower}).drop > bound + 1e-12


@given(drops, bounds, st.integers(1, 30), st.sampled_from(["size", "latency"]))
def test_it_never_tries_more_than_its_trials_nor_one_twice(drops, bound, trials, prefer):
    toy = Toy(drops)
    precisions = LADDER if prefer == "size" else LADDER[1:]
    found = search_mix(toy.units, Wanted(bound, prefer, trials, precisions), toy)
    assert len(toy.calls) == len(found.trials) <= trials
    assert len({tuple(sorted(parts.items())) for parts in toy.calls}) == len(toy.calls)
    assert [trial.parts for trial in found.trials] == toy.calls
    best = found.trials[found.chosen]
    assert best.fits == (found.blocked is None) == any(trial.fits for trial in found.trials)


def test_one_trial_is_enough_if_the_lowest_fits():
    toy = Toy([0.001, 0.002])
    found = search_mix(toy.units, Wanted(0.01, "size", 24, LADDER), toy)
    assert [trial.parts for trial in found.trials] == [{"attention.0": "int4", "attention.1": "int4"}]


def test_the_most_sensitive_unit_for_its_bytes_is_raised():
    toy = Toy([0.02, 0.03, 0.001], [100, 10_000, 100])
    found = search_mix(toy.units, Wanted(0.0335, "size", AMPLE, LADDER), toy)
    expected = {"attention.0": "int8-dynamic", "attention.1": "int4", "attention.2": "int4"}
    assert found.trials[found.chosen].parts == expected


def test_only_allowed_precisions_are_tried():
    toy = Toy([0.02, 0.05, 0.01])
    found = search_mix(toy.units, Wanted(0.03, "size", AMPLE, ("int4", "int8-dynamic")), toy)
    assert {precision for parts in toy.calls for precision in parts.values()} == {"int4", "int8-dynamic"}
    assert all(len(parts) == 3 for parts in toy.calls)
    assert found.trials[found.chosen].fits


def test_the_nearest_miss_is_told_with_what_costs_most():
    toy = Toy([0.02, 0.05])
    found = search_mix(toy.units, Wanted(0.001, "size", 24, ("int4", "int8-dynamic")), toy)
    assert found.trials[found.chosen].parts == {"attention.0": "int8-dynamic", "attention.1": "int8-dynamic"}
    assert found.blocked == (
        "none of the 4 mixes that the search tried meets max_drop 0.001: the closest is 0.0070 worse than fp32 on "
        "validation, and attention.1 in int8-dynamic costs most"
    )


def test_a_unit_that_gets_no_faster_stays_as_it_is():
    toy = Toy([0.0, 0.0, 0.0], saved=[0.2, -0.1, 0.1])
    found = search_mix(toy.units, Wanted(0.0, "latency", 24, ("int8-dynamic", "fp32")), toy)
    assert found.trials[found.chosen].parts == {"attention.0": "int8-dynamic", "attention.2": "int8-dynamic"}


def test_the_fastest_within_the_bound():
    toy = Toy([0.1, 0.1, 0.1, 0.1], saved=[0.1, 0.3, 0.05, 0.2])
    found = search_mix(toy.units, Wanted(0.02, "latency", 24, ("int8-dynamic", "fp32")), toy)
    assert found.trials[found.chosen].parts == {"attention.1": "int8-dynamic", "attention.3": "int8-dynamic"}


def test_no_faster_mix_is_told():
    toy = Toy([0.0, 0.0], saved=[-0.2, -0.1])
    found = search_mix(toy.units, Wanted(0.0, "latency", 24, ("int8-dynamic", "fp32")), toy)
    assert found.blocked == (
        "none of the 2 mixes that the search tried is faster than fp32 here: the closest takes 11.00 ms, fp32 10.00 ms"
    )


@pytest.mark.parametrize(("trials", "layers"), [(24, [0, 1, 2, 3]), (8, [None])])
def test_few_trials_treat_a_part_as_one_unit(trials, layers):
    units = Toy([0.1] * 4).units
    assert [unit.layer for unit in affordable(units, Wanted(0.0, "size", trials, LADDER))] == layers


def test_a_table_in_8_bits_is_not_dynamic():
    wanted = Wanted(0.0, "size", 9, LADDER)
    assert wanted.ladder(Unit("embeddings", None, 10)) == ["int4", "int8", "fp32"]
