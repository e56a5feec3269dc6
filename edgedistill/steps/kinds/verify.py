"""Fidelity: compares an exported file with its PyTorch model on the whole validation set, item by item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.spec import NotInKey, PluginName, Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.files import MadeFiles, Verified
from edgedistill.store.records.models import Evaluation
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The runtime that runs the files."""

    task: TaskSpec
    runtime: Annotated[str, PluginName("runtimes")]
    timeout_minutes: Annotated[float, NotInKey()]


@dataclass(frozen=True)
class Inputs:
    """The files, and the answers of their PyTorch model on validation."""

    data: DataInputs
    file: Artifact[MadeFiles]
    reference: Artifact[Evaluation]


KIND = StepKind("edgedistill.steps.verify:run", 8, Settings, Inputs, Verified)
