"""Answers of a PyTorch model on a split, in fp32: the reference for its exported files, and its own figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.recipe.schema import Compute
from edgedistill.spec import NotInKey, Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.records.models import Evaluation, TrainedModel
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The task and its metric, the split, and the names of the out-of-distribution sets."""

    task: TaskSpec
    split: Literal["validation", "test"]
    ood: tuple[str, ...] = ()
    compute: Annotated[Compute, NotInKey()] = Compute()
    """Only its device is used, which does not change what fp32 answers."""


@dataclass(frozen=True)
class Inputs:
    """The model, and the data in its tokens."""

    data: DataInputs
    model: Artifact[TrainedModel]
    ood_data: Artifact[TokenisedData] | None = None


KIND = StepKind("edgedistill.steps.evaluate:run", 6, Settings, Inputs, Evaluation)
