"""A student's own tokenizer, and the training data in its tokens."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.recipe.plugin_unions import StudentSpec, TaskSpec
from edgedistill.spec import Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The student initialisation that makes the tokenizer."""

    task: TaskSpec
    student: StudentSpec


@dataclass(frozen=True)
class Inputs:
    """The texts that students are trained on, labelled or not, in the tokens of the student's source."""

    data: DataInputs


KIND = StepKind("edgedistill.steps.retokenise:run", 7, Settings, Inputs, TokenisedData)
