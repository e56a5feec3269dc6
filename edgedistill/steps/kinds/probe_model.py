"""Tries what a run needs of a model on a few inputs, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from edgedistill.recipe.plugin_unions import LossSpec, StudentSpec
from edgedistill.recipe.teacher_spec import TeacherSpec
from edgedistill.spec import PluginName, Spec
from edgedistill.store.handle import Artifact
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.records.models import Probe
from edgedistill.store.step import StepKind


class ProbedModel(Spec):
    """A model and its origin: a student of an earlier one, or the recipe's teacher if `student` is None."""

    id: str
    student: StudentSpec | None = None
    source: str | None = None
    tuned: bool = True
    """Whether the teacher gets a new head or must already have one."""


class Settings(Spec):
    """The models in the order they are built; the last one is tried."""

    task: Annotated[str, PluginName("tasks")]
    teacher: TeacherSpec
    models: tuple[ProbedModel, ...]
    teachers: tuple[str, ...] = ()
    """Those of the models that are its teachers."""
    stages: tuple[tuple[LossSpec, ...], ...] = ()
    quantized: Annotated[tuple[str, ...], PluginName("quantizers")] = ()
    """Precisions in whose arithmetic it trains."""


@dataclass(frozen=True)
class Inputs:
    """The data of each model."""

    data: Mapping[str, Artifact[TokenisedData]]


KIND = StepKind("edgedistill.steps.probe_model:run", 3, Settings, Inputs, Probe)
