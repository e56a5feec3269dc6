"""Decides a round's teacher by the trials of each, on validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgedistill.recipe.schema import TaskSpec, Teachers
from edgedistill.spec import RoundRef, Spec
from edgedistill.store.handle import Artifact
from edgedistill.store.records.models import TeacherChosen, TrainedModel
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The task and its metric, and what was tried, in the recipe's order."""

    task: TaskSpec
    options: Annotated[tuple[Teachers, ...], RoundRef()]


@dataclass(frozen=True)
class Inputs:
    """What each of them taught, in the same order."""

    trials: tuple[Artifact[TrainedModel], ...]


KIND = StepKind("edgedistill.steps.choose_teacher:run", 3, Settings, Inputs, TeacherChosen)
