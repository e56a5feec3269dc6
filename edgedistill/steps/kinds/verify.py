"""Fidelity: a device file against its torch model on the whole validation set, item by item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgedistill.recipe.schema import TaskSpec
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
    """The files, and what the torch model that they were made of says of the validation set."""

    data: DataInputs
    file: Artifact[MadeFiles]
    reference: Artifact[Evaluation]


KIND = StepKind("edgedistill.steps.verify:run", 7, Settings, Inputs, Verified)
