"""Runs rounds until the stopping rule ends them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgedistill.planning import Plan, make_plan
from edgedistill.planning.fingerprints import Sources
from edgedistill.store.artifacts import Published
from edgedistill.store.progress import Progress


def until_stopped(
    plan_: Plan, known: Sources, go: Callable[[Plan], Mapping[str, Published]], progress: Progress
) -> Plan:
    """Run round by round until the stopping rule ends it, and return the plan of the rounds that ran.

    Steps of the shorter plan keep their keys, so nothing runs twice.
    """
    for number, round_ in enumerate(plan_.recipe.rounds[:-1], start=1):
        if round_.data is not None:
            continue  # it has its own data, so there is nothing to compare
        part = plan_.until(f"judge-{round_.id}")
        judgement = part.made(go(part)).judged[round_.id].record.judgement
        if judgement.stop:
            progress.say(f"stopped after {round_.id}: {judgement.reason}")
            progress.event("stopped", round=round_.id)
            return first_rounds(plan_, known, number)
    return plan_


def first_rounds(plan_: Plan, known: Sources, rounds: int) -> Plan:
    """The plan of the first rounds only."""
    return make_plan(plan_.recipe.model_copy(update={"rounds": plan_.recipe.rounds[:rounds]}), known)


def stopped_after(plan_: Plan, done: Mapping[str, Published]) -> int | None:
    """The number of the round whose judgement, if it is there, said stop."""
    for number, round_ in enumerate(plan_.recipe.rounds, start=1):
        judged = plan_.made(done).judged.get(round_.id)
        if judged is not None and judged.made is not None and judged.record.judgement.stop:
            return number
    return None
