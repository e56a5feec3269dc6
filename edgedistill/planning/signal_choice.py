"""`signals: auto`: the form in which a round's soft targets are recorded, or a live teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Form
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.planning.estimates import Shapes, first_teacher, tokens_of
from edgedistill.planning.fingerprints import Sources
from edgedistill.planning.signal_budget import Room, what
from edgedistill.recipe.round_spec import Place, Round
from edgedistill.recipe.schema import Recipe, projected, signals_of, teacher_of
from edgedistill.recipe.soft_targets import Source, losses_of, possible_sources, temperatures
from edgedistill.signals.sizes import SignalSize, distribution_size
from edgedistill.store.records.models import SIGNAL_OF

_WORTH = 1.5
"""Factor of work beyond which an exact form is replaced by one of some classes."""
_INEXACT: tuple[Source, ...] = ("sampled", "top-k")


@dataclass(frozen=True)
class SignalChoice:
    """The form of a round's soft targets, and the reason for the plan; '' if set in the recipe."""

    source: Source
    reason: str = ""
    gb: float = 0
    """What the round adds to the recordings, as far as it is known."""


@dataclass(frozen=True)
class _Option:
    source: Source
    a_decision: int
    """Bytes; 0 for a live teacher."""
    gb: float
    work: float
    """Multiplications per decision over all passes, by teacher and student."""

    def told(self, least: float) -> str:
        room = f"{self.a_decision} bytes per decision, {self.gb:.2g} GB, " if self.a_decision else ""
        exact = ", not exact" if self.source in _INEXACT else ""
        return f"{self.source} ({room}work {self.work / least:.2g}{exact})"


def choose_signals(recipe: Recipe, sources: Sources, round_: Round, shapes: Shapes, room: Room) -> SignalChoice:
    """The recipe's form; for `auto`, the exact form with the least work within what is left of `max_gb`, or sampled
    classes or top-k if these take much less.

    The teacher runs once for recorded forms and in every pass when live; from recorded states, logits are recomputed in
    every pass. A training student multiplies three times with its weights. Forms that a loss of the round does not
    accept, or that its teachers or data rule out, are left out.
    """
    chosen = _choice(recipe, sources, round_, shapes, room)
    shape = _asked(recipe, round_, shapes)
    if chosen.source == "live" or shape is None or registry.task(recipe.task.type).model.states is None:
        return chosen
    size = _size(chosen.source, recipe, round_, shape)
    return replace(chosen, gb=_added_gb(chosen.source, size, recipe, sources, round_, room))


def _choice(recipe: Recipe, sources: Sources, round_: Round, shapes: Shapes, room: Room) -> SignalChoice:
    spec = signals_of(recipe, round_)
    if spec.form != "auto":
        return SignalChoice(spec.form)
    possible = possible_sources(recipe, round_)
    if "sampled" in possible:  # as small, and without bias
        possible = [source for source in possible if source != "top-k"]
    if len(possible) == 1:
        return SignalChoice(possible[0], f"auto: {possible[0]}, the only possible form")
    shape = _asked(recipe, round_, shapes)
    decisions = tokens_of(sources, round_, _splits(round_))
    if registry.task(recipe.task.type).model.states is None:
        return SignalChoice(possible[0], f"auto: {possible[0]}, which is small")
    if shape is None or not shape.parameters or not decisions:
        found = next(source for source in ("live", *_INEXACT, "dense") if source in possible)
        return SignalChoice(found, f"auto: {found}, since the sizes of the others are not known yet")
    options = list(_options(recipe, sources, round_, shapes, possible, room))
    fitting = [option for option in options if option.gb <= room.gb]
    best = _best(fitting or [min(options, key=lambda option: option.gb)])
    least = best.work
    others = ", ".join(option.told(least) for option in options if option is not best)
    return SignalChoice(
        best.source, f"auto: {best.told(least)} of {others}; passes {_passes(recipe, round_)}, {room.told()}"
    )


def _added_gb(form: Form, size: SignalSize, recipe: Recipe, sources: Sources, round_: Round, room: Room) -> float:
    """What recording every teacher on every split takes, of which earlier rounds have recorded some."""
    total = 0.0
    for teacher in round_.teachers():
        repeated = 1 if teacher == teacher_of(round_) else 1 + len(recipe.seeds)
        for split in _splits(round_):
            decisions = tokens_of(sources, round_, {split})
            if decisions and what(recipe, round_, SIGNAL_OF[form], teacher, split) not in room.there:
                total += repeated * size.of(decisions)
    return total / 1e9


def _asked(recipe: Recipe, round_: Round, shapes: Shapes) -> ModelShape | None:
    """The first teacher's shape, with the student's vocabulary size if its distribution is projected."""
    teacher, student = shapes.get(first_teacher(round_)), shapes.get(round_.id)
    if teacher is None or not projected(recipe, round_, first_teacher(round_)):
        return teacher
    return None if student is None else replace(teacher, vocabulary=student.vocabulary)


def _options(
    recipe: Recipe, sources: Sources, round_: Round, shapes: Shapes, possible: list[Source], room: Room
) -> Iterator[_Option]:
    """The smaller of dense and hidden."""
    passes = _passes(recipe, round_)
    teacher, student = _asked(recipe, round_, shapes), shapes.get(round_.id)
    assert teacher is not None, "without its size there is nothing to compare"
    taught, head = float(teacher.parameters or 0), float(teacher.vocabulary * teacher.hidden_size)
    learning = 3.0 * (student.parameters if student is not None and student.parameters else taught)
    sizes = {source: _size(source, recipe, round_, teacher) for source in possible if source != "live"}
    if {"dense", "hidden"} <= set(sizes):
        decisions = tokens_of(sources, round_, _splits(round_))
        del sizes[max(("hidden", "dense"), key=lambda form: sizes[form].of(decisions))]
    for source, size in sizes.items():
        work = taught + passes * (learning + (head if source == "hidden" else 0))
        yield _Option(source, size.a_decision, _added_gb(source, size, recipe, sources, round_, room), work)
    if "live" in possible:
        yield _Option("live", 0, 0.0, passes * (taught + learning))


def _size(form: Source, recipe: Recipe, round_: Round, teacher: ModelShape) -> SignalSize:
    spec = signals_of(recipe, round_)
    assert form != "live"
    bits = spec.hidden_bits if form == "hidden" else spec.log_p_bits
    count = len(temperatures(losses_of(round_)))
    return distribution_size(form, teacher.vocabulary, teacher.hidden_size, spec.k, bits, count)


def _best(options: list[_Option]) -> _Option:
    exact = [option for option in options if option.source not in _INEXACT]
    kept = [option for option in options if option.source in _INEXACT]
    if not exact or not kept:
        return min(options, key=lambda option: (option.work, option.gb))
    best = min(exact, key=lambda option: (option.work, option.gb))
    return kept[0] if best.work > _WORTH * kept[0].work else best


def _passes(recipe: Recipe, round_: Round) -> int:
    """How often the soft targets of a decision are read: in every epoch of stages that use them and, for the recipe's
    teacher, for every seed."""
    reading = [stage for stage in round_.stages if "logits" in registry.needs(stage.losses)]
    places = {place: 0 for stage in reading for place in stage.places()}
    for stage in reading:
        for place in stage.places():
            places[place] += stage.epochs
    return max(places.values(), default=1) * (1 + len(recipe.seeds) if round_.teachers() == ("teacher",) else 1)


def _splits(round_: Round) -> set[str]:
    """The splits whose soft targets are read."""
    places: set[Place] = set()
    for stage in round_.stages:
        if "logits" in registry.needs(stage.losses):
            places |= set(stage.places())
    return {place.split for place in places}
