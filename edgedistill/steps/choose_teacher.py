"""Decides a round's teacher by the trials of each, on validation."""

from __future__ import annotations

from pathlib import Path

from edgedistill.artifacts import write_json
from edgedistill.recipe import Teachers, flat
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs
from edgedistill.training_record import kept_metric

VERSION = 1


class Settings(Spec):
    """What was tried, in the recipe's order."""

    options: tuple[Teachers, ...]


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `choice.json`: the chosen teacher (the first of equals), and each trial's validation metric."""
    trials = [
        (flat(option), kept_metric(inputs[f"trial:{number}"].read_json("training.json")))
        for number, option in enumerate(settings.options, start=1)
    ]
    chosen, _ = max(trials, key=lambda trial: trial[1])
    shown = [{"teacher": list(teachers), "metric": metric} for teachers, metric in trials]
    write_json(folder / "choice.json", {"chosen": list(chosen), "trials": shown})
    context.progress.say("      " + ", ".join(f"{' + '.join(names)} {metric:.4f}" for names, metric in trials))
