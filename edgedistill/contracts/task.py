"""A task: everything that the rest must not know about it, in halves by what they need to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .items import Items
from .judge import Judge

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from edgedistill.recipe import Architecture
    from edgedistill.spec import Spec

    from .answers import Answers, References


class AutoClass(Protocol):
    """One of `transformers`' auto classes (`AutoModelForSequenceClassification`)."""

    def from_pretrained(self, source: str | Path, **options: object) -> PreTrainedModel: ...

    def from_config(self, config: PreTrainedConfig) -> PreTrainedModel: ...


@dataclass(frozen=True)
class DataColumns:
    """The data columns that a task reads: name in the recipe -> what it holds (`text`, `label`, `tokens`, `tags`).

    Args:
        labels: the column of right answers; None for a task that learns from its inputs and its teacher alone.
    """

    required: tuple[str, ...]
    labels: str | None
    optional: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    """Columns of free text, which may be changed without the labels losing their place."""


@dataclass(frozen=True)
class Encoder:
    """What examples are encoded with."""

    columns: Mapping[str, str]
    """The recipe's name of each column."""
    tokenizer: PreTrainedTokenizerBase | None
    label_ids: Mapping[str, int]
    max_length: int


@dataclass(frozen=True)
class TaskData:
    """The half that reads examples. No torch.

    Args:
        problem: (row, columns, whether labels are needed) -> what is wrong with a raw row, or None.
        label_names: (training rows, columns) -> label names in the order of their ids; [] for a task without.
        encode: (rows by column, encoder) -> items; targets are among their columns. `Items.example` counts these rows
            from 0.
        references: (items) -> the right answers, one per decision in the order in which `answers` gives them.
        show: (row, columns) -> a raw row as a person reads it.
        tokens: whether the model reads text through a tokenizer.
    """

    columns: DataColumns
    tokens: bool
    problem: Callable[[Mapping[str, object], Mapping[str, str], bool], str | None]
    label_names: Callable[[Dataset, Mapping[str, str]], list[str]]
    encode: Callable[[Mapping[str, Sequence[object]], Encoder], Items]
    references: Callable[[Items], References]
    show: Callable[[Mapping[str, object], Mapping[str, str]], str]


@dataclass(frozen=True)
class TaskModel:
    """The half that torch models need.

    Args:
        auto_class: which of `transformers`' auto classes loads a model.
        scratch_config: (architecture, vocabulary, longest input, labels) -> the configuration of a model from scratch.
        outputs: names of the tensors that the exported graph gives, in order (`("logits",)`).
        forward: (model, batch of tensors by column) -> those tensors by name.
        logits: (outputs, batch) -> (R, C) one row per decision, where the task's soft targets are over classes or a
            vocabulary; None for a task whose answers are no distribution.
        targets: (batch) -> (R,) class of each of these rows, -1 where there is none; None likewise.
        loss: (outputs, batch) -> scalar, the task's own objective on its labels (what `hard_label` minimises).
        answers: (outputs, batch, numbers of the batch's items, their examples) -> answers.
    """

    auto_class: Callable[[], AutoClass]
    scratch_config: Callable[[Architecture, int, int, Mapping[str, object]], PreTrainedConfig]
    outputs: tuple[str, ...]
    forward: Callable[[PreTrainedModel, Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]]
    answers: Callable[[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]], Answers]
    decisions: Callable[[Mapping[str, torch.Tensor]], torch.Tensor]
    """(batch) -> (B,) decisions of each item."""
    loss: Callable[[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]], torch.Tensor] | None = None
    logits: Callable[[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]], torch.Tensor] | None = None
    targets: Callable[[Mapping[str, torch.Tensor]], torch.Tensor] | None = None


@dataclass(frozen=True)
class Task:
    """A module in `tasks/`, or found through the entry points `edgedistill.tasks`, exports one as `TASK`.

    Args:
        version: raised whenever it encodes, answers or scores otherwise.
        spec: its options in a recipe, told apart by `type`.
        device: module whose `DRIVER` is its device half; it imports numpy only.
    """

    name: str
    version: int
    spec: type[Spec]
    data: TaskData
    model: TaskModel
    judge: Judge
    device: str
    api: int = 1
