"""A file on another processor's kernels, emulated: what it answers, beside its torch model, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgedistill.recipe.schema import EmulationSpec, TaskSpec
from edgedistill.spec import NotInKey, PluginName, Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.files import Emulated, MadeFiles
from edgedistill.store.records.models import Evaluation
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The runtime, the processor, and how many items."""

    task: TaskSpec
    runtime: Annotated[str, PluginName("runtimes")]
    emulation: EmulationSpec
    length: int | None
    """Tokens of every counted input; None: its own."""
    timeout_minutes: Annotated[float, NotInKey()]


@dataclass(frozen=True)
class Inputs:
    """The files, and what the torch model that they were made of says of the validation set."""

    data: DataInputs
    file: Artifact[MadeFiles]
    reference: Artifact[Evaluation]


KIND = StepKind("edgedistill.steps.emulate:run", 3, Settings, Inputs, Emulated)
