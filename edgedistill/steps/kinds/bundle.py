"""Writes the chosen candidate as a self-testing folder; nothing when nothing was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgedistill.exporting.candidates import Candidate
from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.spec import Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.provenance import Provenance
from edgedistill.store.records.closing import Bundled, Reported
from edgedistill.store.records.files import FileId, MadeFiles, Verified, VerifyId
from edgedistill.store.records.models import TrainedModel
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The possible candidates, and the origin of their models and data."""

    task: TaskSpec
    candidates: tuple[Candidate, ...]
    provenance: tuple[Provenance, ...]
    length: int | None
    """Length to which inputs were padded or truncated when the candidates were timed; None: real lengths."""


@dataclass(frozen=True)
class Inputs:
    """The report, and everything needed for any candidate's bundle; data by model, with the validation split."""

    report: Artifact[Reported]
    data: Mapping[str, DataInputs]
    models: Mapping[str, Artifact[TrainedModel]]
    files: Mapping[FileId, Artifact[MadeFiles]]
    verified: Mapping[VerifyId, Artifact[Verified]]


KIND = StepKind("edgedistill.steps.bundle:run", 7, Settings, Inputs, Bundled)
