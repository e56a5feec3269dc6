"""A student with its loss terms: one batch in, the terms' values out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from .contracts.distribution import Dense
from .contracts.loss import LossInputs, MaskedView, Relations, pooled
from .inference import model_inputs
from .interfaces import Batch, Task
from .layouts import layout_of
from .masking import mask_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HIDDEN = "teacher_hidden."
SIGNALS = frozenset({"logits", "hidden", "embedding"})
"""What can be recorded. Attention and relations grow with the square of the length, or with three times the width of
every layer: they are always computed while training."""


@dataclass(frozen=True)
class Masking:
    """What masked language modelling must know of the tokenizer."""

    mask_token: int
    vocabulary: int
    special_tokens: tuple[int, ...]
    """Never masked."""


@dataclass(frozen=True)
class View:
    """What a forward pass showed; only what was asked for."""

    logits: torch.Tensor
    hidden: Sequence[torch.Tensor] = ()
    attention: Sequence[torch.Tensor] = ()
    relations: Sequence[Relations] = ()


class Watched:
    """A model whose forward pass shows what these needs ask for."""

    def __init__(self, model: PreTrainedModel, needs: frozenset[str]) -> None:
        self.model = model
        self.hidden = bool(needs & {"hidden", "embedding"})
        self.attention = "attention" in needs
        self.relations = "relations" in needs

    def __call__(self, batch: Batch) -> View:
        """The view of one batch."""
        with watched_relations(self.model) if self.relations else _nothing() as relations:
            outputs = self.model(
                **model_inputs(batch), output_hidden_states=self.hidden, output_attentions=self.attention
            )
        return View(outputs.logits, outputs.hidden_states or (), outputs.attentions or (), relations)


@contextmanager
def watched_relations(model: PreTrainedModel) -> Iterator[list[Relations]]:
    """Queries, keys and values of every layer during one forward pass, by layer.

    Raises:
        UserError: an architecture whose projections aren't known.
    """
    from .students._copy import layer_list

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
def attention_shown(model: PreTrainedModel) -> Iterator[None]:
    """Let a model compute attention in the way that can show it (fused kernels don't), then go back."""
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(usual)


@contextmanager
def dropout_at(model: PreTrainedModel, share: float | None) -> Iterator[None]:
    """Let a model drop this share of its activations while it trains, then go back; None: as it is made."""
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
    """A teacher that looks at each batch while the student trains, for signals that are not recorded."""

    def __init__(self, model: PreTrainedModel, needs: frozenset[str]) -> None:
        self.model = model.eval().requires_grad_(False)
        if "attention" in needs:
            self.model.set_attn_implementation("eager")
        self.needs = needs
        self._watched = Watched(model, needs)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> View:
        """What the teacher shows of one batch, on the batch's device."""
        self.model.to(next(iter(batch.values())).device)
        return self._watched(batch)


class Trainee(nn.Module):
    """The student with its loss terms. Only the student is ever saved.

    Args:
        needs: what the terms ask for, together.
        teacher: for those of them that aren't recorded with the data.
        masking: for those that need a masked view.
    """

    def __init__(
        self,
        student: PreTrainedModel,
        task: Task,
        terms: Sequence[nn.Module],
        needs: frozenset[str] = frozenset({"labels"}),
        teacher: LiveTeacher | None = None,
        masking: Masking | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self.terms = nn.ModuleList(terms)
        self.needs = needs
        self._task, self._masking = task, masking
        self._watched = Watched(student, needs)
        self._teacher = (teacher,)  # in a tuple: a teacher must not become a part of what is trained and saved

    @property
    def teacher(self) -> LiveTeacher | None:
        """The teacher that looks on, where one does."""
        return self._teacher[0]

    def forward(self, batch: Batch) -> torch.Tensor:
        """(L,) the unweighted losses."""
        inputs = self._inputs(batch)
        return torch.stack([term(inputs) for term in self.terms])

    def _inputs(self, batch: Batch) -> LossInputs:
        labels = self._task.references(batch)
        if self.needs == {"masked"}:  # no second pass over the text as it is
            nothing = torch.empty(0)
            return LossInputs(nothing, labels, batch["attention_mask"], mask_some=lambda p: self._masked(batch, p))
        own = self._watched(batch)
        mask = batch.get("attention_mask", torch.ones_like(labels).unsqueeze(1))  # an image is one place
        (teacher,) = self._teacher
        given = teacher(batch) if teacher else View(own.logits)
        hidden: dict[int, torch.Tensor] = {
            int(k.removeprefix(HIDDEN)): v for k, v in batch.items() if k.startswith(HIDDEN)
        }
        embedding = batch.get("teacher_embedding")
        if teacher and given.hidden:
            hidden = dict(enumerate(given.hidden))
            embedding = pooled(given.hidden[-1], mask)
        return LossInputs(
            student_logits_RC=self._task.rows(own.logits, batch),
            labels_R=labels,
            mask_BT=mask,
            weights_R=self._by_row("item_weights", batch),
            trust_R=batch.get("teacher_trust"),
            teacher=Dense(logits) if (logits := batch.get("teacher_logits")) is not None else None,
            student_hidden=own.hidden,
            teacher_hidden=hidden or None,
            student_attention=own.attention,
            teacher_attention=given.attention,
            student_relations=own.relations,
            teacher_relations=given.relations,
            teacher_embedding_BE=embedding,
            mask_some=lambda probability: self._masked(batch, probability),
        )

    def _by_row(self, name: str, batch: Batch) -> torch.Tensor | None:
        """(R,) from (B,): an item's weight is its rows'."""
        values = batch.get(name)
        return None if values is None else values.repeat_interleave(self._task.row_counts(batch).to(values.device))

    def _masked(self, batch: Batch, probability: float) -> MaskedView:
        assert self._masking is not None, "the distil step gives the masking to every stage with a masked loss"
        tokens = batch["input_ids"]
        special = torch.tensor(self._masking.special_tokens, device=tokens.device)
        maskable = batch["attention_mask"].bool() & ~torch.isin(tokens, special)
        inputs, targets = mask_tokens(tokens, maskable, probability, self._masking.mask_token, self._masking.vocabulary)
        body = self.student.base_model(**{**model_inputs(batch), "input_ids": inputs})
        return MaskedView(body.last_hidden_state, targets, self.student.get_input_embeddings().weight)
