"""Decides a round's teacher by the trials of each, on validation."""

from __future__ import annotations

from pathlib import Path

from edgedistill.recipe import flat
from edgedistill.step import Context
from edgedistill.store.records.models import TeacherChosen, Trial

from .kinds.choose_teacher import Inputs, Settings


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> TeacherChosen:
    """Publish nothing but the record: the chosen teacher (the first of equals), and each trial's metric."""
    trials = tuple(
        Trial(teacher=flat(option), metric=trial.record.kept_metric)
        for option, trial in zip(settings.options, inputs.trials, strict=True)
    )
    shown = [f"{' + '.join(trial.teacher)} {trial.metric:.4f}" for trial in trials]
    context.progress.say("      " + ", ".join(shown))
    return TeacherChosen(chosen=max(trials, key=lambda trial: trial.metric).teacher, trials=trials)
