"""Decides a round's teacher by the trials of each, on validation."""

from __future__ import annotations

from pathlib import Path

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.recipe import TaskSpec, Teachers, flat
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs
from edgedistill.training_record import kept_metric

VERSION = 2


class Settings(Spec):
    """What was tried, in the recipe's order."""

    task: TaskSpec
    options: tuple[Teachers, ...]


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `choice.json`: the chosen teacher (the first of equals), and each trial's validation metric."""
    metric = plugins.task(settings.task.type).judge.metrics[settings.task.metric]
    trials = [
        (flat(option), kept_metric(inputs[f"trial:{number}"].read_json("training.json"), metric))
        for number, option in enumerate(settings.options, start=1)
    ]
    chosen, best = trials[0]
    for names, figure in trials[1:]:
        if metric.better(figure, best):
            chosen, best = names, figure
    shown = [{"teacher": list(teachers), "metric": metric} for teachers, metric in trials]
    write_json(folder / "choice.json", {"chosen": list(chosen), "trials": shown})
    context.progress.say("      " + ", ".join(f"{' + '.join(names)} {metric:.4f}" for names, metric in trials))
