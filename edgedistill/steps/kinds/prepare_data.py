"""Reads and checks the training data, decides the labels and the tokenizer, and tokenises once to Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from edgedistill.recipe.schema import DataSource, TaskSpec
from edgedistill.spec import ModelRef, Spec
from edgedistill.store.handle import Artifact
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.step import StepKind


class Settings(Spec):
    """What to read, and with which tokenizer."""

    task: TaskSpec
    train: DataSource
    columns: Mapping[str, str]
    labels: Mapping[str, str]
    max_length: int
    tokenizer: Annotated[str | None, ModelRef(revision="revision")]
    revision: str
    vocabulary: int | None
    teacher_labels: bool
    """Take the label order of a teacher that is used as it is."""
    content: str
    """Fingerprint of the training data: what is read must have it still."""


@dataclass(frozen=True)
class Inputs:
    """A data step whose tokenizer is taken instead: a body that goes on reads the same tokens."""

    tokens: Artifact[TokenisedData] | None = None


KIND = StepKind("edgedistill.steps.prepare_data:run", 8, Settings, Inputs, TokenisedData)
