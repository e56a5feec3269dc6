"""Reads and checks the training data, determines labels and tokenizer, and tokenizes once to Arrow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from edgedistill.recipe.data_spec import DataSource
from edgedistill.recipe.plugin_unions import TaskSpec
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
    """Use the label order of a teacher that is not fine-tuned."""
    content: str
    """Expected fingerprint of the training data."""


@dataclass(frozen=True)
class Inputs:
    """A data step whose tokenizer to use instead, for a body that carries over."""

    tokens: Artifact[TokenisedData] | None = None


KIND = StepKind("edgedistill.steps.prepare_data:run", 8, Settings, Inputs, TokenisedData)
