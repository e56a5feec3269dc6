"""A task: everything that the rest must not know about it, in halves by what they need to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgedistill.arrays import Arrays, Floats
from edgedistill.contracts.answers import References
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
    from edgedistill.recipe.schema import Architecture


class AutoClass(Protocol):
    """One of `transformers`' auto classes (`AutoModelForSequenceClassification`)."""

    def from_pretrained(self, source: str | Path, **options: object) -> PreTrainedModel: ...

    def from_config(self, config: PreTrainedConfig) -> PreTrainedModel: ...


@dataclass(frozen=True)
class DataColumns:
    """The data columns that a task reads: name in the recipe -> what it holds (`text`, `label`, `tokens`, `tags`).

    Args:
        labels: the column of right answers; None for a task that learns from its inputs and its teacher alone, and is
            judged by them too.
        in_training: whether the training data must have right answers; else only validation and test have them, and
            nothing is learned from them.
        texts: columns of free text, which may be changed without the labels losing their place.
        forms: other sets of columns in place of `required`, of which a row is made as well (`messages` instead of
            `text`); the recipe chooses one by naming its columns.
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
        """All of them."""
        others = (column for form in self.forms for column in form)
        return (*self.required, *((self.labels,) if self.labels else ()), *self.optional, *others)

    @property
    def learned(self) -> bool:
        """Whether the training data has right answers."""
        return self.in_training and (self.labels is not None or self.self_supervised)

    def read(self, named: Mapping[str, str]) -> dict[str, str]:
        """The columns that are read of a data set, each with its name there.

        Args:
            named: what the recipe calls them.
        """
        chosen = next((form for form in self.forms if set(form) & set(named)), self.required)
        always = (*chosen, *((self.labels,) if self.labels else ()))
        return {key: named.get(key, key) for key in always} | {key: named[key] for key in self.optional if key in named}


@dataclass(frozen=True)
class Encoder:
    """What examples are encoded with."""

    columns: Mapping[str, str]
    """The recipe's name of each column -> its name in the data."""
    tokenizer: PreTrainedTokenizerBase | None
    label_ids: Mapping[str, int]
    max_length: int
    spec: TaskSpec
    """The task's own part of the recipe, with its options; what is encoded must not depend on its metrics."""


Prompt = str | Sequence[Mapping[str, str]]
"""A text, or the messages of a chat, each with a role and content."""


@dataclass(frozen=True)
class TaskData:
    """The half that reads examples. No torch.

    Args:
        tokens: whether the model reads text through a tokenizer.
        problem: (row, columns, whether labels are needed) -> what is wrong with a raw row, or None. A label that is a
            number comes as text, too.
        label_names: (training rows, columns) -> label names in the order of their ids; [] for a task without classes.
        encode: (rows by column, encoder) -> items; targets are among their columns. `Items.example` counts these rows
            from 0.
        references: (items) -> one entry for every decision that a model makes of them, in the order of `answers`, with
            the right answer where there is one.
        show: (row, columns) -> a raw row as a person reads it.
        apart: whether training draws items, and not whole examples: where they are windows of one text, of which a long
            one alone would be too much for a step.
        sequences: (rows by column, encoder) -> their whole token sequences, and where the items of `encode` and the
            decisions of `references` stand in them; for a task whose decisions are tokens, so that it asks for others
            in other tokens. None: it asks for the same ones in any.
        prompt: (tokenizer, a text or the messages of a chat) -> the tokens that a model is to go on from, as it was
            trained; None for a task whose answers are no texts. It raises `UserError` for messages that the tokenizer's
            chat template doesn't take.
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
    """The output layer over a vocabulary: logits (D, V) = hidden states (D, H) @ `weight_VH`.T + `bias_V`."""

    weight_VH: torch.Tensor  # noqa: N815
    bias_V: torch.Tensor | None = None  # noqa: N815


@dataclass(frozen=True)
class TaskModel:
    """The half that torch models need. Shapes: D decisions of a batch, C classes or tokens of a vocabulary.

    A *batch* is a padded batch of `Items`, inputs and targets, as tensors by column; *outputs* is what `forward` gives.

    Args:
        auto_class: which of `transformers`' auto classes loads a model.
        scratch_config: (architecture, vocabulary, longest input, training items, entries of `configuration`) -> the
            configuration of a model from scratch.
        configuration: (label names) -> entries of `config.json` that say what the model's head decides.
        unsuitable: (`config.json` of a model that is used as it is) -> why its head is not this task's, or None.
        outputs: names of the tensors that the exported graph gives, in order (`("logits",)`).
        forward: (model, inputs of a batch) -> those tensors by name.
        answers: (outputs, batch) -> values of the answers by name, each (D, ...), in the order of `references`.
        loss: (outputs, batch, label smoothing) -> (D,) the task's own objective on its labels, which `hard_label`
            minimises; any finite number where there is no label. A task that can't smooth raises `UserError` unless it
            is 0. None for a task that learns from its teacher alone.
        logits: (outputs, batch) -> (D, C), where the task's soft targets are over classes or a vocabulary; None for a
            task whose answers are no distribution.
        answers_of_logits: (logits (D, C)) -> values of the answers of a model that gives these; None without `logits`,
            and for a task that knows no right and wrong.
        packed: what `forward` gives, from fewer padded places (several items in one row); taken where nothing of a pass
            is seen but its outputs. None: nothing is saved.
        states: (model, batch) -> (D, H) the last hidden states of the decisions, of which `head` makes `logits`: what a
            loss or a recording takes instead, where (D, C) at once would be too much. None where C is small.
        head: (model) -> its output layer, shared with its embeddings or not; None with `states` only. It raises
            `UserError` for a model whose logits are another function of its last states.
        right: (batch) -> (D,) int64 the number of the right class or token of each decision, any where it isn't known:
            what `hard_label` learns of a model that gives `states`, by cross-entropy. None without `states`.
        probe: (model, items) -> what a file of it is asked besides when it is verified (`Driver.probe`), by name.
        ask: (model, batch) -> what `answers` gives of `forward`, in bounded memory; None: through these.
        read: (model, tokens (B, T), their positions (B, T), which of them each sees (B, T, T)) -> (B, T, H) the last
            hidden states, of which `head` makes what comes after each token; None without `TaskData.sequences`.
        decoder: (model) -> what continues texts with it, token by token; None for a task whose answers are no texts.
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
        name: what the recipe calls it.
        version: raised whenever it encodes, answers or scores otherwise; part of the key of every step that does.
        device: module whose `DRIVER` is its device half; it imports numpy only.
        judge: (the recipe's part about it) -> its judge, whose metrics may depend on its options.
        spec: its options in a recipe, told apart by `type`; None: none but its metrics. `judge` and `TaskData.encode`
            are told of them; nothing else may depend on them.
        prompts: what its files are timed on besides its data, and the figures of that; None: nothing.
        samples: beginnings of examples from which its models and files go on, for a person to read; None for a task
            that continues no texts. Its model half and its driver have a `decoder` then.
        snippets: package with the templates of a bundle's examples (`run.py.jinja`, `run.mjs.jinja`, `run.cpp.jinja`),
            which show a person the way from an example to an answer; None: one that asks through edgedistill.
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
        """Why this cannot be used under that name, or None."""
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
        if self.data.sequences is not None and (self.model.read is None or self.model.head is None):
            return "it has sequences of tokens, expected 'read' and 'head' as well"
        fault = super().fault(name)
        if fault is not None or self.spec is None:
            return fault
        from edgedistill.contracts.tagged import fault_in_tag  # an exporter's environment has no pydantic
        from edgedistill.contracts.task_spec import TaskSpec

        return fault_in_tag(self.spec, TaskSpec, "type", name)
