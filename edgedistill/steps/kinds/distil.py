"""One round: a student is made and goes through its stages; or its control, the same without a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edgedistill.recipe.schema import Compute, Place, Round, TaskSpec
from edgedistill.spec import Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.base import RECORD
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.records.models import Signal, Signals, TeacherChosen, TrainedModel
from edgedistill.store.step import StepKind


class SignalId(NamedTuple):
    """What is recorded of which model, about which items."""

    signal: Signal
    model: str
    """As the recipe calls it, whichever seed it is of."""
    place: Place


class Settings(Spec):
    """The round, and whether it is the control arm."""

    task: TaskSpec
    round: Round
    seed: int
    compute: Compute
    control: bool
    live: tuple[str, ...] = ()
    """Signals that the teacher gives while the student trains."""


@dataclass(frozen=True)
class Inputs:
    """All that a student is made of; a control has neither teachers nor signals."""

    data: DataInputs
    """With the validation split, and all splits that a stage reads."""
    views: Mapping[str, Artifact[TokenisedData]]
    """By stage."""
    source: Artifact[TrainedModel] | None
    """What the student is cut from."""
    teachers: Mapping[str, Artifact[TrainedModel]]
    signals: Mapping[SignalId, Artifact[Signals]]
    choice: Artifact[TeacherChosen] | None = None
    """Where trials decide which of the teachers it is."""


KIND = StepKind("edgedistill.steps.distil:run", 12, Settings, Inputs, TrainedModel, volatile=(RECORD,))
