"""After a round: whether its drop from the teacher is significant, whether the limits are met, and whether to
continue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from edgedistill.evaluation.stop import Judgement
from edgedistill.exporting.candidates import Candidate
from edgedistill.recipe.deployment_spec import Limits
from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.recipe.schema import StopSpec
from edgedistill.spec import RoundRef, Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.base import Record
from edgedistill.store.records.files import FileId, MadeFiles, Verified, VerifyId
from edgedistill.store.records.models import Evaluation
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The stopping rule, the agreement below which a file is not shipped, and the round's files."""

    task: TaskSpec
    round: Annotated[str, RoundRef()]
    stop: StopSpec
    limits: Limits
    min_agreement: float
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Inputs:
    """Answers of teacher and student on validation, and the round's files."""

    data: DataInputs
    """In the teacher's tokens."""
    student_data: DataInputs
    teacher: Artifact[Evaluation]
    student: Artifact[Evaluation]
    files: Mapping[FileId, Artifact[MadeFiles]]
    verified: Mapping[VerifyId, Artifact[Verified]]


class Judged(Record):
    """The verdict on a round, entirely from validation."""

    SCHEMA: ClassVar[str] = "judged/1"

    judgement: Judgement


KIND = StepKind("edgedistill.steps.judge_round:run", 6, Settings, Inputs, Judged)
