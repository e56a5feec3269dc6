"""Combines all figures: `results.json`, `report.md`, `report.html`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from edgedistill.exporting.candidates import Candidate
from edgedistill.exporting.estimates import CandidateEstimate
from edgedistill.recipe.deployment_spec import SelectSpec
from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.recipe.round_spec import Round
from edgedistill.spec import NotInKey, Spec
from edgedistill.steps.kinds.choose import Chosen
from edgedistill.steps.kinds.judge_round import Judged
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.closing import Reported
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.records.files import Emulated, FileId, MadeFiles, Measured, Verified, VerifyId
from edgedistill.store.records.models import Evaluation, Signals, TeacherChosen, TrainedModel
from edgedistill.store.step import StepKind


class Settings(Spec):
    """Settings of the report."""

    recipe: str
    task: TaskSpec
    rounds: tuple[Round, ...]
    seeds: tuple[int, ...]
    """Seeds of the repetitions, the first one in front."""
    candidates: tuple[Candidate, ...]
    select: SelectSpec
    ood: tuple[str, ...]
    estimates: Annotated[tuple[CandidateEstimate, ...], NotInKey()] = ()
    """Of the plan; not in the key, so that a finished report stays when times are measured again."""


@dataclass(frozen=True)
class Inputs:
    """All outputs of a run; models are named after their steps."""

    data: DataInputs
    """The recipe's, with all splits."""
    own_data: Mapping[str, DataInputs]
    """By round with its own data: that data with its test set."""
    own_tokens: Mapping[str, DataInputs]
    """By round with its own tokenizer, if decisions are tokens: validation and test in its tokens."""
    ood_data: Artifact[TokenisedData] | None
    models: Mapping[str, Artifact[TrainedModel]]
    evaluated: Mapping[str, Artifact[Evaluation]]
    """On validation."""
    tested: Mapping[str, Artifact[Evaluation]]
    recorded: Mapping[str, Artifact[Signals]]
    """Logits of each teacher on the training set."""
    choices: Mapping[str, Artifact[TeacherChosen]]
    """By round, if trials chose the teacher."""
    judged: Mapping[str, Artifact[Judged]]
    """By round, if there is a stopping rule."""
    files: Mapping[FileId, Artifact[MadeFiles]]
    verified: Mapping[VerifyId, Artifact[Verified]]
    emulated: Mapping[VerifyId, Artifact[Emulated]]
    measured: Artifact[Measured]
    chosen: Artifact[Chosen]


KIND = StepKind("edgedistill.steps.report:run", 16, Settings, Inputs, Reported)
