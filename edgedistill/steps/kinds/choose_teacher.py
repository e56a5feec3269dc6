"""Chooses a round's teacher on validation, from the trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.recipe.round_spec import Teachers
from edgedistill.spec import RoundRef, Spec
from edgedistill.store.handle import Artifact
from edgedistill.store.records.models import TeacherChosen, TrainedModel
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The task and its metric, and the candidates in the recipe's order."""

    task: TaskSpec
    options: Annotated[tuple[Teachers, ...], RoundRef()]


@dataclass(frozen=True)
class Inputs:
    """The trained trials, in the same order."""

    trials: tuple[Artifact[TrainedModel], ...]


KIND = StepKind("edgedistill.steps.choose_teacher:run", 3, Settings, Inputs, TeacherChosen)
