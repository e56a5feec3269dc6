"""Outputs of a plan that are read after the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgedistill.steps.kinds.choose import Chosen
from edgedistill.steps.kinds.judge_round import Judged
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.closing import Bundled, Reported
from edgedistill.store.records.files import FileId, MadeFiles, Measured, Verified, VerifyId
from edgedistill.store.records.models import Evaluation, TrainedModel


@dataclass(frozen=True)
class Outputs:
    """By model name (that of its step), by file id, or the only one."""

    data: Mapping[str, DataInputs]
    models: Mapping[str, Artifact[TrainedModel]]
    evaluated: Mapping[str, Artifact[Evaluation]]
    """On validation."""
    tested: Mapping[str, Artifact[Evaluation]]
    judged: Mapping[str, Artifact[Judged]]
    """By round, if there is a stopping rule."""
    files: Mapping[FileId, Artifact[MadeFiles]]
    verified: Mapping[VerifyId, Artifact[Verified]]
    measured: Artifact[Measured]
    chosen: Artifact[Chosen]
    report: Artifact[Reported]
    bundle: Artifact[Bundled]
