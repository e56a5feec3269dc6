"""Reads, checks and encodes the out-of-distribution sets, separately from the data so that adding one does not cause
retraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgedistill.recipe.data_spec import DataSource
from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.spec import Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.step import StepKind


class Settings(Spec):
    """What to read."""

    task: TaskSpec
    ood: Mapping[str, DataSource]
    content: Mapping[str, str]
    """Expected fingerprint of each set."""


@dataclass(frozen=True)
class Inputs:
    """The data whose tokenizer and labels to use."""

    data: DataInputs


KIND = StepKind("edgedistill.steps.prepare_ood:run", 4, Settings, Inputs, TokenisedData)
