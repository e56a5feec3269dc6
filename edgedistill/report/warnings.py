"""What a reader must know before the figures, first of all rounds that a teacher did not help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import plugins
from edgedistill.chance import AgainstChance
from edgedistill.measuring.judged import BATCHED
from edgedistill.recipe import teacher_of
from edgedistill.remedies import RoundFigures, remedies
from edgedistill.results import CandidateResult, EmulatedResult, RoundResult, UnmeasuredResult
from edgedistill.signals import load_logits
from edgedistill.step import Inputs
from edgedistill.tasks._former import load_rows

if TYPE_CHECKING:
    from edgedistill.recipe import Round
    from edgedistill.steps.report import Settings


def warnings(
    rounds: Sequence[RoundResult], repeated_texts: Mapping[str, int], settings: Settings, inputs: Inputs
) -> list[str]:
    """Sentences, those that weigh most first.

    Args:
        repeated_texts: how many texts of a split are in an earlier one too, by `EARLIER/SPLIT`.
    """
    worse, unshown = [], []
    for each, planned in zip(rounds, settings.rounds, strict=True):
        if each.gain_over_control is None or each.gain_over_control_ci is None:
            continue
        low, high = each.gain_over_control_ci
        gain = f"{100 * each.gain_over_control:+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}] on test"
        if low > 0:
            continue
        tried = "; ".join(remedies(_figures(planned, inputs)))
        advice = f" What to try: {tried}." if tried else ""
        if high < 0:
            worse.append(f"{each.id} is worse than its control, the same student without a teacher: {gain}.{advice}")
        else:
            unshown.append(f"{each.id} is not shown to be better than its control without a teacher: {gain}.{advice}")
    repeated = []
    for pair, count in repeated_texts.items():
        if count:
            first, second = pair.split("/")
            repeated.append(f"{count} texts of {second} are also in {first}: accuracy there may be flattered.")
    return [*worse, *unshown, *repeated]


def chance_warnings(models: Mapping[str, AgainstChance]) -> list[str]:
    """Sentences about models that know nothing of the labels.

    Args:
        models: by name, how each did on its test set.
    """
    return [
        f"{name} has learned nothing that shows: it {found.beside('test')}."
        for name, found in models.items()
        if found.at_chance
    ]


def candidate_warnings(
    rows: Sequence[CandidateResult | EmulatedResult | UnmeasuredResult], environment: Mapping[str, object]
) -> list[str]:
    """Sentences about measured files: answers that depend on the batch, and more threads than there were cores."""
    measured = [row for row in rows if isinstance(row, CandidateResult)]
    found = []
    moved = {
        f"{row.round}/{row.target}/{row.precision}/{row.runtime} {row.agreement_with_student:.4f} and "
        f"{row.agreement_batched:.4f}": None
        for row in measured
        if row.agreement_batched is not None and row.agreement_batched != row.agreement_with_student
    }
    if moved:
        found.append(
            f"What these files answer depends on what else is in the batch: agreement with torch alone and in padded "
            f"batches of {BATCHED}: {_first(list(moved))}."
        )
    cores = environment.get("threads")
    crowded = [row.id for row in measured if isinstance(cores, int) and row.threads > cores]
    if crowded:
        found.append(f"Timed with more threads than the {cores} cores there are: {_first(crowded)}.")
    return found


def _first(names: Sequence[str], most: int = 4) -> str:
    return "; ".join(names[:most]) + (f"; and {len(names) - most} more" if len(names) > most else "")


def _figures(each: Round, inputs: Inputs) -> RoundFigures:
    """What the run knows of a round that did not gain."""
    epochs = inputs[f"model:{each.id}"].read_json("training.json")["epochs"]
    assert isinstance(epochs, list)
    last = [float(epoch["metric"]) for epoch in epochs if epoch["stage"] == epochs[-1]["stage"]]
    losses = [loss for stage in each.stages for loss in stage.losses]
    temperatures = [plugins.loss(loss.kind).temperature for loss in losses]
    known = (of(loss) for of, loss in zip(temperatures, losses, strict=True) if of is not None)
    temperature = next(known, None)
    teachers = each.teachers() if each.data is None else (teacher_of(each),)
    roles = [role for teacher in teachers if (role := f"logits:{teacher}:train") in inputs]
    logits = [load_logits(inputs[role].path("logits.safetensors")) for role in roles]

    def on_validation(model: str) -> float:
        return float(str(inputs[f"evaluate:{model}"].read_json("accuracy.json")["validation"]))

    validation = load_rows(inputs[f"evaluate:{each.id}"].path("validation.safetensors"))
    return RoundFigures(
        teacher_metric=max(on_validation(name) for name in teachers),
        control_metric=on_validation(f"{each.id}-control"),
        temperature=temperature,
        teacher_logits=np.mean(logits, axis=0) if logits else None,
        metrics=last,
        validation_items=len(validation.values),
    )
