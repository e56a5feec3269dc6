"""Applies the limits to the validation figures, and chooses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from edgedistill.evaluation.beside_fp32 import BesideFp32
from edgedistill.evaluation.selection import Choice
from edgedistill.exporting.candidates import Candidate
from edgedistill.recipe.deployment_spec import SelectSpec
from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.spec import Spec
from edgedistill.store.handle import Artifact
from edgedistill.store.records.base import Record
from edgedistill.store.records.files import FileId, Measured, SearchedFiles, Verified, VerifyId
from edgedistill.store.records.models import Evaluation
from edgedistill.store.step import StepKind


class Settings(Spec):
    """Limits, preference, and the agreement below which a file is not shipped."""

    task: TaskSpec
    select: SelectSpec
    min_agreement: float
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Inputs:
    """Measurements, verifications, and the teacher's answers on validation."""

    measured: Artifact[Measured]
    teacher: Artifact[Evaluation]
    verified: Mapping[VerifyId, Artifact[Verified]]
    searched: Mapping[FileId, Artifact[SearchedFiles]] = field(default_factory=dict)
    """Files whose mix was searched."""


class Chosen(Record):
    """What to ship, why, and each candidate's verdict."""

    SCHEMA: ClassVar[str] = "chosen/2"

    choice: Choice
    prompt_tokens: int | None = None
    """Prompt length of the speed figures that were used; None without prompts or a common length."""
    beside_fp32: Mapping[str, BesideFp32] = {}
    """By quantized candidate whose fp32 counterpart was measured too."""


KIND = StepKind("edgedistill.steps.choose:run", 9, Settings, Inputs, Chosen)
