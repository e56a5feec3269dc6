"""Exports one target's files of a model in one precision, from PyTorch or from the files of another precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from edgedistill.recipe.quantization import Calibration, Parts
from edgedistill.spec import NotInKey, PluginName, PrecisionName, Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.files import MadeFiles
from edgedistill.store.records.models import TrainedModel
from edgedistill.store.step import StepKind


class Settings(Spec):
    """What to export."""

    task: Annotated[str, PluginName("tasks")]
    target: Annotated[str, PluginName("exporters")]
    precision: Annotated[str, PrecisionName()]
    buckets: tuple[int, ...] | None
    """None for a target whose files accept every length."""
    calibration: Calibration | None
    timeout_minutes: Annotated[float, NotInKey()]
    parts: Parts | None = None
    """Of a mix, whose name is in `precision`."""
    block: int | None = None
    """Of a mix: weights that share a scale, where a part is in blocks."""


@dataclass(frozen=True)
class Inputs:
    """The model, the data in its tokens, and the source files."""

    data: DataInputs
    model: Artifact[TrainedModel]
    source: Artifact[MadeFiles] | None = None


KIND = StepKind("edgedistill.steps.make_file:run", 4, Settings, Inputs, MadeFiles)
