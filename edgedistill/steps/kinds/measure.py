"""Measures all candidates: predictions on test item by item, then interleaved latency, load time, peak memory, size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgedistill.exporting.candidates import Candidate
from edgedistill.recipe.deployment_spec import MeasureSpec
from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.spec import Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.files import FileId, MadeFiles, Measured, Verified, VerifyId
from edgedistill.store.records.models import TrainedModel
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The candidates and the benchmark settings."""

    task: TaskSpec
    measure: MeasureSpec
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Inputs:
    """The candidates' verified files and, by model, the test set in its tokens and the model itself."""

    data: Mapping[str, DataInputs]
    models: Mapping[str, Artifact[TrainedModel]]
    files: Mapping[FileId, Artifact[MadeFiles]]
    verified: Mapping[VerifyId, Artifact[Verified]]


KIND = StepKind("edgedistill.steps.measure:run", 9, Settings, Inputs, Measured, host=True)
