"""One forward pass of a model before anything is trained: what a run will ask of it is tried on a few inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from edgedistill.recipe.schema import LossSpec, StudentSpec, TeacherSpec
from edgedistill.spec import PluginName, Spec
from edgedistill.store.handle import Artifact
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.records.models import Probe
from edgedistill.store.step import StepKind


class ProbedModel(Spec):
    """A model and what it is made of: a student of an earlier one, or the recipe's teacher where `student` is None."""

    id: str
    student: StudentSpec | None = None
    source: str | None = None
    tuned: bool = True
    """Whether the teacher gets a new head, or must have one."""


class Settings(Spec):
    """The models in the order they are made; the last is the one that is tried."""

    task: Annotated[str, PluginName("tasks")]
    teacher: TeacherSpec
    models: tuple[ProbedModel, ...]
    teachers: tuple[str, ...] = ()
    """Of the models, those that teach it."""
    stages: tuple[tuple[LossSpec, ...], ...] = ()


@dataclass(frozen=True)
class Inputs:
    """By model, the data that it reads."""

    data: Mapping[str, Artifact[TokenisedData]]


KIND = StepKind("edgedistill.steps.probe_model:run", 2, Settings, Inputs, Probe)
