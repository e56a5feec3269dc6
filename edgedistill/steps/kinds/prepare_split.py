"""Reads and checks another split than the training data, and tokenises it as that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgedistill.recipe.schema import DataSource, TaskSpec
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
    """Fingerprint of the split: what is read must have it still."""


@dataclass(frozen=True)
class Inputs:
    """The data that it belongs to, with the splits whose rows are looked for in it."""

    data: DataInputs


KIND = StepKind("edgedistill.steps.prepare_split:run", 5, Settings, Inputs, PreparedSplit)
