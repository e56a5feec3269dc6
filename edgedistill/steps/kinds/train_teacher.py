"""The teacher: loaded, and optionally fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.recipe.schema import Compute
from edgedistill.recipe.teacher_spec import TeacherSpec
from edgedistill.spec import Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.records.base import RECORD
from edgedistill.store.records.models import TrainedModel
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The model, and its fine-tuning schedule."""

    task: TaskSpec
    teacher: TeacherSpec
    seed: int
    compute: Compute


@dataclass(frozen=True)
class Inputs:
    """The data, with the validation split."""

    data: DataInputs


KIND = StepKind("edgedistill.steps.train_teacher:run", 10, Settings, Inputs, TrainedModel, volatile=(RECORD,))
