"""Executes a file with another processor's kernels under emulation: predictions compared with its PyTorch model, and
cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgedistill.recipe.deployment_spec import EmulationSpec
from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.spec import NotInKey, PluginName, Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.files import Emulated, MadeFiles
from edgedistill.store.records.models import Evaluation
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The runtime, the processor, and the number of items."""

    task: TaskSpec
    runtime: Annotated[str, PluginName("runtimes")]
    emulation: EmulationSpec
    length: int | None
    """Tokens per counted input; None: its own length."""
    timeout_minutes: Annotated[float, NotInKey()]


@dataclass(frozen=True)
class Inputs:
    """The files, and the answers of their PyTorch model on validation."""

    data: DataInputs
    file: Artifact[MadeFiles]
    reference: Artifact[Evaluation]


KIND = StepKind("edgedistill.steps.emulate:run", 3, Settings, Inputs, Emulated)
