"""Chooses a round's teacher on validation, from the trials."""

from __future__ import annotations

from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.recipe.round_spec import flat
from edgedistill.steps.kinds.choose_teacher import Inputs, Settings
from edgedistill.store.records.models import TeacherChosen, Trial
from edgedistill.store.step import Context


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> TeacherChosen:
    """Publish only the record: the chosen teacher (the first of equals), and each trial's metric."""
    metric = registry.task(settings.task.type).judge(settings.task).metrics[settings.task.metric]
    trials = tuple(
        Trial(teacher=flat(option), metric=trial.record.kept_metric(metric.direction))
        for option, trial in zip(settings.options, inputs.trials, strict=True)
    )
    shown = [f"{' + '.join(trial.teacher)} {trial.metric:.4f}" for trial in trials]
    context.progress.say("      " + ", ".join(shown))
    best = trials[0]
    for trial in trials[1:]:
        if metric.better(trial.metric, best.metric):
            best = trial
    return TeacherChosen(chosen=best.teacher, trials=trials)
