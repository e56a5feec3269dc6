"""A loss: what it needs of the teacher, and how its term is built.

Shapes: B items, T tokens, C classes, H hidden size, R rows (one per decision of the task), V vocabulary, E embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, get_args

from pydantic import Field

from edgedistill.contracts.distribution import Dense, Distribution, Form, HiddenAndHead
from edgedistill.contracts.layer_maps import LayerMap
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.contracts.planned_model import PlannedModel
from edgedistill.contracts.plugin import Versioned
from edgedistill.contracts.tagged import fault_in_tag
from edgedistill.spec import Spec

if TYPE_CHECKING:
    import torch

Need = Literal["labels", "logits", "hidden", "embedding", "attention", "relations", "masked"]
"""What a loss may ask for: labels, a signal of the teacher, or a masked view of the text."""


class LossSpec(Spec):
    """Base of the specs of losses; `kind` is the plug-in's name, a `Literal` in each spec."""

    kind: str
    weight: float = Field(1.0, gt=0)
    """Weight in the sum of the stage's losses."""


S = TypeVar("S", bound=LossSpec)


@dataclass(frozen=True, eq=False, kw_only=True)
class Loss(Versioned, Generic[S]):
    """A module in `losses/`, or found through the entry points `edgedistill.losses`, exports one as `LOSS`.

    Args:
        version: raised whenever it gives another value or gradient for the same inputs.
        needs: what the plan must give it; it refuses a recipe that can't.
        build: (spec, student, teacher) -> a module `LossInputs -> scalar`. Its parameters train with the round and
            never enter the student. The teacher is None for a mean of several, and for a control.
        layers: which of the student's hidden states it compares with which of the teacher's; for one that needs
            `hidden`, so that these alone are recorded.
        temperature: at which it compares distributions; None for one that has none.
        forms: in which forms it takes the teacher's distribution, for one that needs `logits`; a recipe that records
            another is refused.
        check: (spec, student, teacher) -> (the spec's key, '' for the whole; what is wrong with it) as far as a plan
            knows, before anything is loaded; or None.
    """

    spec: type[S]
    needs: frozenset[Need]
    build: Callable[[S, ModelShape, ModelShape | None], torch.nn.Module]
    layers: Callable[[S], LayerMap] | None = None
    temperature: Callable[[S], float] | None = None
    forms: frozenset[Form] = frozenset({"dense"})
    check: Callable[[S, PlannedModel, PlannedModel], tuple[str, str] | None] | None = None

    def fault(self, name: str) -> str | None:
        """Why this cannot be used under that name, or None."""
        known = get_args(Need)
        if not isinstance(self.needs, frozenset) or not self.needs or not self.needs <= set(known):
            return f"its needs are {self.needs!r}, expected a frozenset of {', '.join(known)}"
        if not isinstance(self.forms, frozenset) or not self.forms or not self.forms <= set(get_args(Form)):
            return f"its forms are {self.forms!r}, expected a frozenset of {', '.join(get_args(Form))}"
        if "hidden" in self.needs and self.layers is None:
            return "it needs hidden states, expected a function 'layers' that returns which"
        return super().fault(name) or fault_in_tag(self.spec, LossSpec, "kind", name)


@dataclass(frozen=True)
class MaskedView:
    """A batch with some tokens masked, as the student's body sees it."""

    hidden_BTH: torch.Tensor  # noqa: N815
    targets_BT: torch.Tensor  # noqa: N815
    """The hidden tokens' ids, -1 elsewhere."""
    embeddings_VE: torch.Tensor  # noqa: N815
    """The student's token embeddings."""


Relations = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]
"""Queries, keys and values of one layer before they are split into heads, each (B, T, D)."""


@dataclass(frozen=True)
class LossInputs:
    """All that a loss may look at in one batch; what no loss of the stage needs is not there.

    student: its distribution in each row: logits, or the hidden states and the head that make them, of a task over a
    vocabulary; teacher: its over the same classes. known_R: which rows have a label; right_R: their classes, where
    there are states.
    weights_R: how much each row counts; trust_R: how much the teacher is believed there; None when all count alike.
    Hidden states are indexed as `transformers` does: 0 is the embedding layer, i the output of layer i; each is
    (B, T, H). Attention probabilities are (B, A, T, T) by layer, from 0. mask_BT: 1 on real tokens.
    """

    student: Dense | HiddenAndHead
    known_R: torch.Tensor  # noqa: N815
    mask_BT: torch.Tensor  # noqa: N815
    weights_R: torch.Tensor | None = None  # noqa: N815
    trust_R: torch.Tensor | None = None  # noqa: N815
    teacher: Distribution | None = None
    right_R: torch.Tensor | None = None  # noqa: N815
    student_hidden: Sequence[torch.Tensor] = ()
    teacher_hidden: Mapping[int, torch.Tensor] | None = None
    student_attention: Sequence[torch.Tensor] = ()
    teacher_attention: Sequence[torch.Tensor] = ()
    student_relations: Sequence[Relations] = ()
    teacher_relations: Sequence[Relations] = ()
    teacher_embedding_BE: torch.Tensor | None = None  # noqa: N815
    own_losses: Callable[[float], torch.Tensor] | None = None
    """(R,) the task's own objective on its labels, by the share of label smoothing."""
    mask_some: Callable[[float], MaskedView] | None = None
    """A masked view of the batch, by the probability of masking a token."""
    tokens: int | None = None
    """Of models over a vocabulary, how many columns of the logits of both are tokens: those from there on are padding,
    of which the teacher says nothing. None: all."""

    @property
    def student_beside_teacher(self) -> Dense | HiddenAndHead:
        """The student's distribution over what the teacher's is over."""
        return self.student if self.tokens is None else self.student.first(self.tokens)

    @property
    def student_logits_RC(self) -> torch.Tensor:  # noqa: N802
        """(R, C), for a loss that takes them whole."""
        return self.student.dense().logits_RC

    def whole_teacher(self) -> Dense | HiddenAndHead:
        """The teacher's distribution, for a loss that needs every class of it."""
        assert isinstance(self.teacher, Dense | HiddenAndHead), "the plan refuses other forms"
        return self.teacher

    def teacher_logits(self) -> torch.Tensor:
        """(R, C), for a loss that takes them whole."""
        return self.whole_teacher().dense().logits_RC

    def teacher_weights(self) -> torch.Tensor | None:
        """(R,) how much each row counts in a loss that listens to the teacher."""
        if self.weights_R is None or self.trust_R is None:
            return self.trust_R if self.weights_R is None else self.weights_R
        return self.weights_R * self.trust_R

    def teacher_embedding(self) -> torch.Tensor:
        """(B, E); the plan gives them to every loss that needs embeddings."""
        assert self.teacher_embedding_BE is not None
        return self.teacher_embedding_BE

    def student_embedding(self) -> torch.Tensor:
        """(B, H) mean of the last layer over the real tokens."""
        return pooled(self.student_hidden[-1], self.mask_BT)


def pooled(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """(B, H) mean over the real tokens (Reimers & Gurevych 2019, section 3)."""
    mask = mask_BT.unsqueeze(-1).to(hidden_BTH.dtype)
    return (hidden_BTH * mask).sum(1) / mask.sum(1).clamp(min=1)
