"""A task: everything task-specific, in parts by what they need to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgedistill.arrays import Arrays, Floats
from edgedistill.contracts.answers import References
from edgedistill.contracts.distribution import HiddenAndHead
from edgedistill.contracts.items import Items
from edgedistill.contracts.judge import Judge
from edgedistill.contracts.plugin import Versioned
from edgedistill.contracts.samples import Samples
from edgedistill.contracts.sequences import Sequences
from edgedistill.contracts.speed import Prompts
from edgedistill.contracts.tensors import Tensors

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from edgedistill.contracts.task_spec import TaskSpec
    from edgedistill.device.decoding import Decoder
    from edgedistill.recipe.teacher_spec import Architecture


class AutoClass(Protocol):
    """One of `transformers`' auto classes (`AutoModelForSequenceClassification`)."""

    def from_pretrained(self, source: str | Path, **options: object) -> PreTrainedModel: ...

    def from_config(self, config: PreTrainedConfig) -> PreTrainedModel: ...


@dataclass(frozen=True)
class DataColumns:
    """The data columns that a task reads, by their names in the recipe (`text`, `label`, `tokens`, `tags`).

    Args:
        labels: the column of right answers; None for a task that is trained and evaluated on inputs and teacher alone.
        in_training: whether the training data must have right answers; otherwise only validation and test have them.
        texts: columns of free text, which can be augmented without invalidating the labels.
        forms: alternative sets of columns instead of `required` (`messages` instead of `text`); the recipe chooses one
            by naming its columns.
        self_supervised: whether the right answers are part of the inputs (the next token), so that every row has them.
    """

    required: tuple[str, ...]
    labels: str | None
    optional: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    in_training: bool = True
    forms: tuple[tuple[str, ...], ...] = ()
    self_supervised: bool = False

    @property
    def known(self) -> tuple[str, ...]:
        """All columns."""
        others = (column for form in self.forms for column in form)
        return (*self.required, *((self.labels,) if self.labels else ()), *self.optional, *others)

    @property
    def learned(self) -> bool:
        """Whether the training data has right answers."""
        return self.in_training and (self.labels is not None or self.self_supervised)

    def read(self, named: Mapping[str, str]) -> dict[str, str]:
        """The columns to read from a data set, with their names there.

        Args:
            named: the recipe's `data.columns`.
        """
        chosen = next((form for form in self.forms if set(form) & set(named)), self.required)
        always = (*chosen, *((self.labels,) if self.labels else ()))
        return {key: named.get(key, key) for key in always} | {key: named[key] for key in self.optional if key in named}


@dataclass(frozen=True)
class Encoder:
    """Everything needed to encode examples."""

    columns: Mapping[str, str]
    """Name of each column in the recipe -> its name in the data."""
    tokenizer: PreTrainedTokenizerBase | None
    label_ids: Mapping[str, int]
    max_length: int
    spec: TaskSpec
    """The task's part of the recipe, with its options; encoding must not depend on its metrics."""


Prompt = str | Sequence[Mapping[str, str]]
"""A text, or the messages of a chat, each with a role and content."""


@dataclass(frozen=True)
class TaskData:
    """The part that reads examples. No torch.

    Args:
        tokens: whether the model reads text through a tokenizer.
        problem: (row, columns, whether labels are needed) -> what is wrong with a raw row, or None. Numeric labels are
            given as text too.
        label_names: (training rows, columns) -> label names in the order of their ids; [] for a task without classes.
        encode: (rows by column, encoder) -> items, including target columns. `Items.example` numbers these rows from 0.
        references: (items) -> one entry per decision, in the order of `answers`, with the right answer where known.
        show: (row, columns) -> a raw row as readable text.
        apart: whether training samples items instead of whole examples, for items that are windows of one text, where a
            long text would be too large for one step.
        sequences: (rows by column, encoder) -> whole token sequences with the positions of the items of `encode` and
            the decisions of `references`, for a task whose decisions are tokens and so depend on the tokenizer. None:
            decisions do not depend on it.
        prompt: (tokenizer, a text or the messages of a chat) -> the prompt tokens, as in training; None for a task that
            does not generate text. Raises `UserError` for messages that the tokenizer's chat template rejects.
    """

    columns: DataColumns
    tokens: bool
    problem: Callable[[Mapping[str, object], Mapping[str, str], bool], str | None]
    label_names: Callable[[Dataset, Mapping[str, str]], list[str]]
    encode: Callable[[Mapping[str, Sequence[object]], Encoder], Items]
    references: Callable[[Items], References]
    show: Callable[[Mapping[str, object], Mapping[str, str]], str]
    apart: bool = False
    sequences: Callable[[Mapping[str, Sequence[object]], Encoder], Sequences] | None = None
    prompt: Callable[[PreTrainedTokenizerBase, Prompt], list[int]] | None = None


@dataclass(frozen=True)
class Head:
    """The output layer over a vocabulary: logits (D, V) = hidden states (D, H) @ `weight_VH`.T + `bias_V`, bounded by
    `cap` unless it is None."""

    weight_VH: torch.Tensor  # noqa: N815
    bias_V: torch.Tensor | None = None  # noqa: N815
    cap: float | None = None

    def on(self, hidden_RH: torch.Tensor) -> HiddenAndHead:  # noqa: N803
        """The distributions for these states."""
        return HiddenAndHead(hidden_RH, self.weight_VH, self.bias_V, self.cap)


@dataclass(frozen=True)
class TaskModel:
    """The part for PyTorch models. Shapes: D decisions of a batch, C classes or vocabulary size.

    A *batch* is a padded batch of `Items`, inputs and targets, as tensors by column; *outputs* is the result of
    `forward`.

    Args:
        auto_class: the `transformers` auto class that loads a model.
        scratch_config: (architecture, vocabulary, longest input, training items, entries of `configuration`) -> the
            configuration of a model to train from scratch.
        configuration: (label names) -> entries of `config.json` that describe the model's head.
        unsuitable: (`config.json` of a model that is not fine-tuned) -> why its head does not suit the task, or None.
        outputs: names of the exported graph's outputs, in order (`("logits",)`).
        forward: (model, inputs of a batch) -> those tensors by name.
        answers: (outputs, batch) -> values of the answers by name, each (D, ...), in the order of `references`.
        loss: (outputs, batch, label smoothing) -> (D,) the task's loss on its labels, which `hard_label` minimises; any
            finite number where there is no label. A task without label smoothing raises `UserError` unless it is 0.
            None for a task that is trained on its teacher alone.
        logits: (outputs, batch) -> (D, C), if the task's soft targets are over classes or a vocabulary; None for a task
            without distributions.
        answers_of_logits: (logits (D, C)) -> values of the answers of a model with these logits; None without `logits`,
            and for a task without correct answers.
        packed: like `forward`, with less padding (several items in one row); used if only the outputs of a pass are
            needed. None: not supported.
        states: (model, batch) -> (D, H) the last hidden states of the decisions, from which `head` computes `logits`;
            used by losses and recordings if (D, C) at once would be too large. Each item is in a row of its own, so
            that what passes through the model can be looked at. None if C is small.
        packed_states: like `states`, with less padding; used if only they are needed. None: not supported.
        head: (model) -> its output layer, tied to its embeddings or not; None only if `states` is. Raises `UserError`
            for a model without one. Models whose logits are a different function of their last states are refused when
            they are tried.
        right: (batch) -> (D,) int64 the right class or token of each decision, arbitrary where unknown: the target of
            `hard_label`'s cross-entropy for a model with `states`. None without `states`.
        probe: (model, items) -> additional outputs for verifying a file against (`Driver.probe`), by name.
        ask: (model, batch) -> the same as `answers` of `forward`, in bounded memory; None: use these.
        read: (model, tokens (B, T), their positions (B, T), attention mask (B, T, T)) -> (B, T, H) the last hidden
            states, from which `head` computes the next-token logits; None without `TaskData.sequences`.
        decoder: (model) -> a decoder that generates text token by token; None for a task that does not generate text.
    """

    auto_class: Callable[[], AutoClass]
    scratch_config: Callable[[Architecture, int, int, Items, Mapping[str, object]], PreTrainedConfig]
    configuration: Callable[[Sequence[str]], Mapping[str, object]]
    outputs: tuple[str, ...]
    forward: Callable[[PreTrainedModel, Tensors], Tensors]
    answers: Callable[[Tensors, Tensors], Tensors]
    unsuitable: Callable[[Mapping[str, object]], str | None] = lambda config: None
    loss: Callable[[Tensors, Tensors, float], torch.Tensor] | None = None
    logits: Callable[[Tensors, Tensors], torch.Tensor] | None = None
    answers_of_logits: Callable[[Floats], Arrays] | None = None
    packed: Callable[[PreTrainedModel, Tensors], Tensors] | None = None
    states: Callable[[PreTrainedModel, Tensors], torch.Tensor] | None = None
    packed_states: Callable[[PreTrainedModel, Tensors], torch.Tensor] | None = None
    head: Callable[[PreTrainedModel], Head] | None = None
    right: Callable[[Tensors], torch.Tensor] | None = None
    probe: Callable[[PreTrainedModel, Items], Arrays] | None = None
    ask: Callable[[PreTrainedModel, Tensors], Tensors] | None = None
    read: Callable[[PreTrainedModel, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    decoder: Callable[[PreTrainedModel], Decoder] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Task(Versioned):
    """A module in `tasks/`, or found through the entry points `edgedistill.tasks`, exports one as `TASK`.

    Args:
        name: its name in a recipe.
        version: raised whenever encoding, answers or scores change; part of the key of every step that uses them.
        device: module whose `DRIVER` is its device half; it imports numpy only.
        judge: (its spec) -> its judge, whose metrics may depend on its options.
        spec: class of its options in a recipe, tagged by `type`; None: no options but its metrics. Only `judge` and
            `TaskData.encode` may depend on them.
        prompts: prompts on which its files are timed in addition to its data, with their figures; None: none.
        samples: prefixes of examples that its models and files continue, for the report; None for a task that does not
            generate text. Requires a `decoder` in `model` and driver.
        snippets: package with the templates of a bundle's example scripts (`run.py.jinja`, `run.mjs.jinja`,
            `run.cpp.jinja`), which show the way from an example to an answer; None: a script that uses edgedistill.
    """

    name: str
    data: TaskData
    model: TaskModel
    judge: Callable[[TaskSpec], Judge]
    device: str
    spec: type[TaskSpec] | None = None
    prompts: Prompts | None = None
    samples: Samples | None = None
    snippets: str | None = None

    @property
    def learns_labels(self) -> bool:
        """Whether a model can be trained on the task's own labels, without a teacher."""
        return self.model.loss is not None and self.data.columns.learned

    def fault(self, name: str) -> str | None:
        """Why it cannot be used under this name, or None."""
        if self.name != name:
            return f"it is named '{self.name}', expected '{name}', the entry point's name"
        continuing = (self.data.prompt, self.model.decoder)
        if any(continuing) and not all(continuing):
            return "it has one of prompt and decoder, expected both or neither"
        if self.samples is not None and self.model.decoder is None:
            return "it has samples, expected 'prompt' and 'decoder' as well"
        together = (self.model.states, self.model.head, self.model.right)
        if any(together) and not all(together):
            return "it has one of states, head and right, expected all three or none"
        if self.model.packed_states is not None and self.model.states is None:
            return "it has packed_states, expected 'states' as well"
        if self.data.sequences is not None and (self.model.read is None or self.model.head is None):
            return "it has sequences of tokens, expected 'read' and 'head' as well"
        fault = super().fault(name)
        if fault is not None or self.spec is None:
            return fault
        from edgedistill.contracts.tagged import fault_in_tag  # exporters' environments have no pydantic
        from edgedistill.contracts.task_spec import TaskSpec

        return fault_in_tag(self.spec, TaskSpec, "type", name)
