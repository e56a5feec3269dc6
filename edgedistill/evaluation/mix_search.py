"""The search of a mix: the smallest or fastest whose drop from the fp32 file is within a bound. Pure.

A unit is a part of one layer. How sensitive it is, is measured: the divergence of the file in which it alone has the
lowest precision (layer-wise sensitivity, as in HAQ and ZeroQ: Cai et al. 2020). The order in which units are raised
follows from that per byte, or per time, that raising costs; where on this way the bound is met is found by bisection,
and then single units are lowered again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgedistill.contracts.mix_search import Goal, MixSearch, Trial, Tried
from edgedistill.contracts.precision import PartName, unit_name

_BITS = {"int2": 2, "int4": 4, "int8": 8, "int8-dynamic": 8, "fp32": 32}
Parts = Mapping[str, str]
"""The precision of each unit by name; those that are not named are fp32."""


@dataclass(frozen=True)
class Unit:
    """A part of one layer (None: of all layers), with the number of its weights."""

    part: PartName
    layer: int | None
    weights: int

    @property
    def name(self) -> str:
        """As in a mix."""
        return unit_name(self.part, self.layer)


@dataclass(frozen=True)
class Wanted:
    """What to search for."""

    max_drop: float
    prefer: Goal
    trials: int
    """Maximum number of files to try."""
    precisions: Sequence[str]
    """Allowed ones, lowest first; for latency one and fp32."""

    def ladder(self, unit: Unit) -> list[str]:
        """A unit's precisions, lowest first. Tables in 8 bits have a scale per row; nothing about them is dynamic."""
        if unit.part != "embeddings":
            return list(self.precisions)
        return ["int8" if precision == "int8-dynamic" else precision for precision in self.precisions]


class _ExhaustedError(Exception):
    """All trials are used."""


class _Trials:
    """The trials so far, each mix once."""

    def __init__(self, wanted: Wanted, try_mix: Callable[[Parts], Tried]) -> None:
        self.made: list[Trial] = []
        self._wanted, self._try_mix = wanted, try_mix

    def __call__(self, parts: Parts) -> Trial:
        """The trial of a mix. Raises _ExhaustedError."""
        parts = {name: precision for name, precision in parts.items() if precision != "fp32"}
        known = next((trial for trial in self.made if trial.parts == parts), None)
        if known is not None:
            return known
        if len(self.made) == self._wanted.trials:
            raise _ExhaustedError
        seen = self._try_mix(parts)
        fits = _within(seen, self._wanted) and (self._wanted.prefer == "size" or _time(seen) < 1)
        self.made.append(Trial(parts, seen, fits))
        return self.made[-1]

    def best(self) -> Trial | None:
        """The best that fits; None if none does."""
        fitting = [trial for trial in self.made if trial.fits]
        return min(fitting, key=lambda trial: _cost(trial.seen, self._wanted), default=None)

    def fit(self, parts: Parts) -> bool:
        """Whether a mix fits; fp32 itself does. Raises _ExhaustedError."""
        return set(parts.values()) == {"fp32"} or self(parts).fits


def search_mix(units: Sequence[Unit], wanted: Wanted, try_mix: Callable[[Parts], Tried]) -> MixSearch:
    """Search with at most `wanted.trials` calls of `try_mix`.

    For size, everything at its lowest precision is tried first. For latency a unit is only lowered if the file in which
    it alone is lowered was faster than the fp32 file: its median, in turns, is smaller.
    """
    units = affordable(units, wanted)
    trials, exhausted = _Trials(wanted, try_mix), False
    try:
        if wanted.prefer == "size":
            _smallest(units, wanted, trials)
        else:
            _fastest(units, wanted, trials)
    except _ExhaustedError:
        exhausted = True
    made = trials.made
    worth = {
        number: (not trial.fits, 0.0 if _within(trial.seen, wanted) else trial.seen.drop, _cost(trial.seen, wanted))
        for number, trial in enumerate(made)
    }
    chosen = min(worth, key=lambda number: worth[number])
    blocked = None if made[chosen].fits else _blocked(made[chosen], made, _lowest(units, wanted), wanted)
    return MixSearch(wanted.prefer, wanted.max_drop, tuple(made), chosen, blocked, exhausted)


def affordable(units: Sequence[Unit], wanted: Wanted) -> tuple[Unit, ...]:
    """The units, or whole parts where the trials do not suffice for one of each unit and the bisection.

    >>> layers = [Unit("attention", layer, 10) for layer in range(12)]
    >>> affordable(layers, Wanted(0.0, "size", 10, ("int4", "fp32")))
    (Unit(part='attention', layer=None, weights=120),)
    """
    steps = len(units) * (len(wanted.precisions) - 1)
    if 1 + len(units) + math.ceil(math.log2(steps + 1)) <= wanted.trials:
        return tuple(units)
    parts = dict.fromkeys(unit.part for unit in units)
    return tuple(Unit(part, None, sum(unit.weights for unit in units if unit.part == part)) for part in parts)


def _smallest(units: Sequence[Unit], wanted: Wanted, trials: _Trials) -> None:
    if trials(_lowest(units, wanted)).fits:
        return
    alone = _alone(units, wanted, trials)
    costs = {unit.name: float(unit.weights) for unit in units}
    _meet_bound(units, costs, alone, wanted, trials)


def _fastest(units: Sequence[Unit], wanted: Wanted, trials: _Trials) -> None:
    alone = _alone(units, wanted, trials)
    faster = [unit for unit in units if _time(alone[unit.name].seen) < 1]
    if not faster or trials(_lowest(faster, wanted)).fits:
        return
    costs = {unit.name: 1 - _time(alone[unit.name].seen) for unit in faster}
    _meet_bound(faster, costs, alone, wanted, trials)


def _alone(units: Sequence[Unit], wanted: Wanted, trials: _Trials) -> dict[str, Trial]:
    """For each unit, the mix in which it alone has its lowest precision, and all others their highest."""
    highest = {unit.name: wanted.ladder(unit)[-1] for unit in units}
    return {unit.name: trials(highest | _lowest([unit], wanted)) for unit in units}


def _lowest(units: Sequence[Unit], wanted: Wanted) -> dict[str, str]:
    return {unit.name: wanted.ladder(unit)[0] for unit in units}


def _meet_bound(
    units: Sequence[Unit], costs: Mapping[str, float], alone: Mapping[str, Trial], wanted: Wanted, trials: _Trials
) -> None:
    """Bisect for the first mix on the way up that fits, then lower single units again.

    Args:
        costs: of a unit, per bit.
    """
    path = _path(units, costs, alone, wanted)
    fails, fits = 0, len(path)
    if set(path[-1].values()) == {"fp32"}:
        fits -= 1
    while fits - fails > 1:
        middle = (fails + fits) // 2
        if trials.fit(path[middle]):
            fits = middle
        else:
            fails = middle
    if fits == len(path):
        return
    _lower_again(path[fits], units, costs, wanted, trials)
    explored: list[Parts] = []
    # A trial of a single unit may be better than what the bisection led to.
    while (best := trials.best()) is not None and best.parts not in explored:
        explored.append(best.parts)
        _lower_again({unit.name: "fp32" for unit in units} | dict(best.parts), units, costs, wanted, trials)


def _lower_again(
    start: Parts, units: Sequence[Unit], costs: Mapping[str, float], wanted: Wanted, trials: _Trials
) -> None:
    """Lower single units as long as the mix fits, those that save most first."""
    now, tried = dict(start), set[tuple[str, str]]()
    while True:
        lower = [
            (costs[unit.name] * (_BITS[now[unit.name]] - _BITS[precision]), unit.name, precision)
            for unit in units
            for precision in wanted.ladder(unit)
            if _BITS[precision] < _BITS[now[unit.name]] and (unit.name, precision) not in tried
        ]
        if not lower:
            return
        _, name, precision = max(lower)
        tried.add((name, precision))
        if trials.fit(now | {name: precision}):
            now[name] = precision


def _path(
    units: Sequence[Unit], costs: Mapping[str, float], alone: Mapping[str, Trial], wanted: Wanted
) -> list[dict[str, str]]:
    """All mixes from the lowest to the highest precisions, one unit raised by one precision in each step: the one that
    removes most divergence for its cost. That of more bits than were measured is taken to fall by 6 dB per bit, as the
    power of rounding errors does (Bennett 1948)."""
    path = [_lowest(units, wanted)]

    def gain(unit: Unit) -> float:
        ladder = wanted.ladder(unit)
        least, now = _BITS[ladder[0]], _BITS[path[-1][unit.name]]
        above = _BITS[ladder[ladder.index(path[-1][unit.name]) + 1]]
        removed = alone[unit.name].seen.divergence * (4.0 ** (least - now) - 4.0 ** (least - above))
        return removed / (costs[unit.name] * (above - now))

    while left := [unit for unit in units if path[-1][unit.name] != wanted.ladder(unit)[-1]]:
        raised = max(left, key=gain)
        ladder = wanted.ladder(raised)
        path.append(path[-1] | {raised.name: ladder[ladder.index(path[-1][raised.name]) + 1]})
    return path


def _within(seen: Tried, wanted: Wanted) -> bool:
    return seen.drop <= wanted.max_drop + 1e-12


def _cost(seen: Tried, wanted: Wanted) -> float:
    return seen.bytes if wanted.prefer == "size" else _time(seen)


def _time(seen: Tried) -> float:
    """As a share of the fp32 file's."""
    assert seen.p50_ms is not None, "a search for latency times every file"
    assert seen.fp32_p50_ms is not None, "in turns with the fp32 file"
    return seen.p50_ms / seen.fp32_p50_ms


def _blocked(nearest: Trial, made: Sequence[Trial], lowest: Parts, wanted: Wanted) -> str:
    """Why no trial fits, and which unit costs most: of those that the nearest miss lowers, the most sensitive."""
    if _within(nearest.seen, wanted):
        seen = nearest.seen
        return (
            f"none of the {len(made)} mixes that the search tried is faster than fp32 here: the closest takes "
            f"{seen.p50_ms:.2f} ms, fp32 {seen.fp32_p50_ms:.2f} ms"
        )
    alone: dict[str, float] = {}
    for trial in made:
        own = [name for name, precision in trial.parts.items() if precision == lowest[name]]
        if len(own) == 1 and own[0] in nearest.parts:
            alone.setdefault(own[0], trial.seen.divergence)
    worst = max(alone, key=lambda name: alone[name], default=None)
    costs_most = "" if worst is None else f", and {worst} in {nearest.parts[worst]} costs most"
    return (
        f"none of the {len(made)} mixes that the search tried meets max_drop {wanted.max_drop:g}: the closest is "
        f"{nearest.seen.drop:.4f} worse than fp32 on validation{costs_most}"
    )
