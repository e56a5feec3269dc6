"""Another split in the tokens of a student with its own tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.spec import Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.records.data import PreparedSplit
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The split."""

    task: TaskSpec
    split: Literal["validation", "test", "unlabeled"]


@dataclass(frozen=True)
class Inputs:
    """The split in the source's tokens, and the data with the student's tokenizer."""

    source: DataInputs
    data: DataInputs


KIND = StepKind("edgedistill.steps.retokenise_split:run", 4, Settings, Inputs, PreparedSplit)
