"""One round: initialise a student and train it through its stages; or its control, the same without a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.recipe.round_spec import Place, Round
from edgedistill.recipe.schema import Compute
from edgedistill.spec import Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.base import RECORD
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.records.models import Signal, Signals, TeacherChosen, TrainedModel
from edgedistill.store.step import StepKind


class SignalId(NamedTuple):
    """A signal of a model, on a split or view."""

    signal: Signal
    model: str
    """Its name in the recipe, whatever the seed."""
    place: Place


class Settings(Spec):
    """The round, and whether it is the control arm."""

    task: TaskSpec
    round: Round
    seed: int
    compute: Compute
    control: bool
    live: tuple[str, ...] = ()
    """Signals that the teacher computes while the student trains."""


@dataclass(frozen=True)
class Inputs:
    """Everything a student is built and trained from; a control has neither teachers nor signals."""

    data: DataInputs
    """The validation split, and all splits that a stage reads."""
    views: Mapping[str, Artifact[TokenisedData]]
    """By stage."""
    source: Artifact[TrainedModel] | None
    """The student's source."""
    teachers: Mapping[str, Artifact[TrainedModel]]
    signals: Mapping[SignalId, Artifact[Signals]]
    choice: Artifact[TeacherChosen] | None = None
    """Trials that decide the teacher, if any."""


KIND = StepKind("edgedistill.steps.distil:run", 12, Settings, Inputs, TrainedModel, volatile=(RECORD,))
