"""A student with its loss terms: maps a batch to the values of the terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgedistill.contracts.batch import Batch
from edgedistill.contracts.distribution import Dense, Distribution, HiddenAndHead
from edgedistill.contracts.loss import LossInputs, MaskedView, Relations, pooled
from edgedistill.contracts.model_layers import layer_list
from edgedistill.contracts.model_layout import layout_of
from edgedistill.contracts.task import Task
from edgedistill.contracts.tensors import Tensors
from edgedistill.signals.inference import shown
from edgedistill.training.decisions import cross_entropies
from edgedistill.training.masking import mask_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NOTHING = Dense(torch.empty(0))
"""Placeholder outputs of a student whose answers are not used."""


@dataclass(frozen=True)
class Masking:
    """Tokenizer facts for masked language modelling."""

    mask_token: int
    vocabulary: int
    special_tokens: tuple[int, ...]
    """Never masked."""


@dataclass(frozen=True)
class ForwardOutputs:
    """The requested outputs of a forward pass."""

    outputs: Tensors = field(default_factory=dict)
    states: HiddenAndHead | None = None
    """Instead of outputs, for a task over a vocabulary."""
    hidden: Sequence[torch.Tensor] = ()
    attention: Sequence[torch.Tensor] = ()
    relations: Sequence[Relations] = ()


class ForwardPass:
    """A model whose forward pass exposes what these needs require."""

    def __init__(self, model: PreTrainedModel, task: Task, needs: frozenset[str]) -> None:
        self.model, self.task = model, task
        self.hidden = bool(needs & {"hidden", "embedding"})
        self.attention = "attention" in needs
        self.relations = "relations" in needs

    def __call__(self, batch: Batch) -> ForwardOutputs:
        """The outputs for one batch, or states and head if the task has them."""
        if not (self.hidden or self.attention or self.relations):
            return self._plain(batch)
        task = self.task.model
        runs = self.model if task.states is None else self.model.base_model
        with (
            captured_relations(self.model) if self.relations else _nothing() as relations,
            shown(runs, hidden=self.hidden, attention=self.attention) as found,
        ):
            if task.states is not None and task.head is not None:
                said = ForwardOutputs(states=task.head(self.model).on(task.states(self.model, batch.columns)))
            else:
                said = ForwardOutputs(task.forward(self.model, batch.inputs))
        return replace(said, hidden=found.hidden_states, attention=found.attentions, relations=relations)

    def _plain(self, batch: Batch) -> ForwardOutputs:
        """A pass that is not looked into, with as little padding as the task knows how to."""
        task = self.task.model
        if task.states is not None and task.head is not None:
            states = (task.packed_states or task.states)(self.model, batch.columns)
            return ForwardOutputs(states=task.head(self.model).on(states))
        return ForwardOutputs((task.packed or task.forward)(self.model, batch.inputs))


@contextmanager
def captured_relations(model: PreTrainedModel) -> Iterator[list[Relations]]:
    """Queries, keys and values of every layer during one forward pass, by layer.

    Raises:
        UserError: an architecture with unknown projections.
    """
    layout = layout_of(model.config.model_type, "minilm_relations")
    found: list[Relations] = []
    parts: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        parts.append(output)
        if len(parts) == len(layout.attention_in):
            query, key, value = parts
            found.append((query, key, value))
            parts.clear()

    layers = layer_list(model)
    hooks = [
        model.get_submodule(f"{layers}.{i}.{name}").register_forward_hook(keep)
        for i in range(model.config.num_hidden_layers)
        for name in layout.attention_in
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def eager_attention(model: PreTrainedModel) -> Iterator[None]:
    """Temporarily use an attention implementation that exposes its weights, which fused kernels do not."""
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(usual)


@contextmanager
def dropout_at(model: PreTrainedModel, share: float | None) -> Iterator[None]:
    """Temporarily set a model's dropout; None: unchanged."""
    usual = {module: module.p for module in model.modules() if isinstance(module, nn.Dropout)}
    if share is not None:
        for module in usual:
            module.p = share
    try:
        yield
    finally:
        for module, before in usual.items():
            module.p = before


@contextmanager
def _nothing() -> Iterator[list[Relations]]:
    yield []


class LiveTeacher:
    """A teacher that runs on each batch during training, for signals that are not recorded.

    Args:
        dense: return its distribution as logits, even if the task has states and a head.
    """

    def __init__(self, model: PreTrainedModel, task: Task, needs: frozenset[str], *, dense: bool = False) -> None:
        self.model = model.eval().requires_grad_(False)
        if "attention" in needs:
            self.model.set_attn_implementation("eager")
        self.needs, self.dense = needs, dense
        self._forward_pass = ForwardPass(model, task, needs)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> ForwardOutputs:
        """The teacher's outputs for one batch, on the batch's device."""
        self.model.to(batch.mask_BT.device)
        return self._forward_pass(batch)


class TrainingModule(nn.Module):
    """The student with its loss terms. Only the student is ever saved.

    Args:
        needs: the union of the terms' needs.
        teacher: for needs that are not recorded with the data.
        masking: for terms that need a masked view.
        tokens: for models over a vocabulary, the number of teacher and student logits that are tokens.
    """

    def __init__(
        self,
        student: PreTrainedModel,
        task: Task,
        terms: Sequence[nn.Module],
        needs: frozenset[str] = frozenset({"labels"}),
        teacher: LiveTeacher | None = None,
        masking: Masking | None = None,
        tokens: int | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self.terms = nn.ModuleList(terms)
        self.needs = needs
        self.task, self._masking, self._tokens = task, masking, tokens
        self._forward_pass = ForwardPass(student, task, needs)
        self._teacher = (
            teacher,
        )  # in a tuple, so that the teacher is not registered as a submodule and trained or saved

    @property
    def teacher(self) -> LiveTeacher | None:
        """The live teacher, if any."""
        return self._teacher[0]

    def forward(self, batch: Batch) -> torch.Tensor:
        """(L,) the unweighted losses."""
        inputs = self._inputs(batch)
        return torch.stack([term(inputs) for term in self.terms])

    def _inputs(self, batch: Batch) -> LossInputs:
        model = self.task.model
        if self.needs == {"masked"}:  # no second pass over the unmasked text
            return LossInputs(_NOTHING, batch.known_R, batch.mask_BT, mask_some=lambda p: self._masked(batch, p))
        own = self._forward_pass(batch)
        (teacher,) = self._teacher
        given = teacher(batch) if teacher else ForwardOutputs()
        hidden, embedding = batch.teacher_hidden, batch.teacher_embedding_BE
        if teacher and given.hidden:
            hidden = dict(enumerate(given.hidden))
            embedding = pooled(given.hidden[-1], batch.mask_BT)
        return LossInputs(
            student=self._said(own, batch),
            known_R=batch.known_R,
            mask_BT=batch.mask_BT,
            weights_R=batch.weight_R,
            trust_R=batch.trust_R,
            teacher=self._taught(given, batch),
            right_R=None if own.states is None or model.right is None else model.right(batch.columns),
            student_hidden=own.hidden,
            teacher_hidden=hidden or None,
            student_attention=own.attention,
            teacher_attention=given.attention,
            student_relations=own.relations,
            teacher_relations=given.relations,
            teacher_embedding_BE=embedding,
            own_losses=self._own_losses(own, batch),
            mask_some=lambda probability: self._masked(batch, probability),
            tokens=self._tokens,
        )

    def _taught(self, given: ForwardOutputs, batch: Batch) -> Distribution | None:
        """The teacher's distribution, recorded with the batch or live."""
        (teacher,) = self._teacher
        if teacher is None or "logits" not in teacher.needs:
            return batch.teacher
        said = self._said(given, batch)
        said = said if self._tokens is None else said.first(self._tokens)
        return said.dense() if teacher.dense else said

    def _said(self, own: ForwardOutputs, batch: Batch) -> Dense | HiddenAndHead:
        if own.states is not None:
            return own.states
        logits = self.task.model.logits
        return _NOTHING if logits is None else Dense(logits(own.outputs, batch.columns))

    def _own_losses(self, own: ForwardOutputs, batch: Batch) -> Callable[[float], torch.Tensor] | None:
        """The task's loss per decision."""
        loss, right, states = self.task.model.loss, self.task.model.right, own.states
        if states is None or right is None:
            return None if loss is None else lambda smoothing: loss(own.outputs, batch.columns, smoothing)
        return lambda smoothing: cross_entropies(states, right(batch.columns), smoothing)

    def _masked(self, batch: Batch, probability: float) -> MaskedView:
        assert self._masking is not None, "the distil step gives the masking to every stage with a masked loss"
        assert batch.tokens is not None, "the plan gives masked losses to tasks with tokens only"
        tokens = batch.inputs[batch.tokens]
        special = torch.tensor(self._masking.special_tokens, device=tokens.device)
        maskable = batch.mask_BT.bool() & ~torch.isin(tokens, special)
        inputs, targets = mask_tokens(tokens, maskable, probability, self._masking.mask_token, self._masking.vocabulary)
        body = self.student.base_model(**{**batch.inputs, batch.tokens: inputs})
        return MaskedView(body.last_hidden_state, targets, self.student.get_input_embeddings().weight)
