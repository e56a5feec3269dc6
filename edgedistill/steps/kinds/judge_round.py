"""After a round: whether its drop from the teacher is real, whether the limits are met, and whether to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from edgedistill.evaluation.stop import Judgement
from edgedistill.exporting.candidates import Candidate
from edgedistill.recipe.schema import Limits, StopSpec, TaskSpec
from edgedistill.spec import RoundRef, Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.base import Record
from edgedistill.store.records.files import FileId, MadeFiles, Verified, VerifyId
from edgedistill.store.records.models import Evaluation
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The stop rule, and the files that the round made."""

    task: TaskSpec
    round: Annotated[str, RoundRef()]
    stop: StopSpec
    limits: Limits
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Inputs:
    """What teacher and student say of the validation set, and the round's files."""

    data: DataInputs
    """In the teacher's tokens."""
    student_data: DataInputs
    teacher: Artifact[Evaluation]
    student: Artifact[Evaluation]
    files: Mapping[FileId, Artifact[MadeFiles]]
    verified: Mapping[VerifyId, Artifact[Verified]]


class Judged(Record):
    """A round's standing; everything in it is measured on validation."""

    SCHEMA: ClassVar[str] = "judged/1"

    judgement: Judgement


KIND = StepKind("edgedistill.steps.judge_round:run", 4, Settings, Inputs, Judged)
