"""Augmented views of a stage's texts, in one model's tokens; the views are the same for every model."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.recipe.augment import AugmentSpec
from edgedistill.recipe.data_spec import SplitName
from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.spec import Spec
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The augmentation and the splits."""

    task: TaskSpec
    augment: AugmentSpec
    splits: tuple[SplitName, ...]
    seed: int


@dataclass(frozen=True)
class Inputs:
    """The texts, in the tokens used to create all views, and the data whose tokenizer encodes them."""

    data: DataInputs
    tokens: Artifact[TokenisedData]


KIND = StepKind("edgedistill.steps.augment_text:run", 6, Settings, Inputs, TokenisedData)
