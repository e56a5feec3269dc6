"""Reads and checks a split other than train, and tokenizes it in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgedistill.recipe.data_spec import DataSource
from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.spec import Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.records.data import PreparedSplit
from edgedistill.store.step import StepKind


class Settings(Spec):
    """What to read."""

    task: TaskSpec
    source: DataSource
    split: Literal["validation", "test", "unlabeled"]
    content: str
    """Expected fingerprint of the split."""


@dataclass(frozen=True)
class Inputs:
    """Its training data, and the earlier splits to compare its rows with."""

    data: DataInputs


KIND = StepKind("edgedistill.steps.prepare_split:run", 5, Settings, Inputs, PreparedSplit)
