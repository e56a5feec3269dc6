"""A loss: the teacher signals it needs, and how its term is built.

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
"""What a loss may need: labels, a teacher signal, or a masked view of the text."""


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
        version: raised whenever the same inputs give a different value or gradient.
        needs: what it needs; the plan refuses recipes that cannot provide it.
        build: (spec, student, teacher) -> a module `LossInputs -> scalar`. Its parameters are trained in the round and
            never become part of the student. The teacher is None for a mean of several, and for a control.
        layers: pairs of student and teacher hidden states that it compares, for a loss that needs `hidden`, so that
            only these are recorded.
        temperature: at which it compares distributions; None: it compares none, or logits themselves, which a teacher
            with other tokens than its student does not have in the student's tokens.
        forms: accepted forms of the teacher's distribution, for a loss that needs `logits`; recipes that record another
            form are refused.
        check: (spec, student, teacher) -> (key of the spec, or '' for the whole; what is wrong) as far as a plan can
            tell before anything is loaded; or None.
    """

    spec: type[S]
    needs: frozenset[Need]
    build: Callable[[S, ModelShape, ModelShape | None], torch.nn.Module]
    layers: Callable[[S], LayerMap] | None = None
    temperature: Callable[[S], float] | None = None
    forms: frozenset[Form] = frozenset({"dense"})
    check: Callable[[S, PlannedModel, PlannedModel], tuple[str, str] | None] | None = None

    def fault(self, name: str) -> str | None:
        """Why it cannot be used under this name, or None."""
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
    """The inputs of losses for one batch; those that no loss of the stage needs are absent.

    student: the student's distribution in each row: logits, or hidden states and head for a task over a vocabulary;
    teacher: the teacher's over the same classes. known_R: which rows have a label; right_R: their classes, with hidden
    states. weights_R: weight of each row; trust_R: weight of the teacher in each row; None when all are equal. Hidden
    states are indexed as `transformers` does: 0 is the embedding layer, i the output of layer i; each is (B, T, H).
    Attention probabilities are (B, A, T, T) by layer, from 0. mask_BT: 1 on real tokens.
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
    """(R,) the task's loss on the labels, given the label smoothing."""
    mask_some: Callable[[float], MaskedView] | None = None
    """A masked view of the batch, given the probability of masking a token."""
    tokens: int | None = None
    """For models over a vocabulary, the number of logits that are tokens: the rest is padding, without a teacher
    distribution. None: all."""

    @property
    def student_beside_teacher(self) -> Dense | HiddenAndHead:
        """The student's distribution over the teacher's classes."""
        return self.student if self.tokens is None else self.student.first(self.tokens)

    @property
    def student_logits_RC(self) -> torch.Tensor:  # noqa: N802
        """(R, C), for a loss that needs full logits."""
        return self.student.dense().logits_RC

    def whole_teacher(self) -> Dense | HiddenAndHead:
        """The teacher's distribution, for a loss that needs every class of it."""
        assert isinstance(self.teacher, Dense | HiddenAndHead), "the plan refuses other forms"
        return self.teacher

    def teacher_logits(self) -> torch.Tensor:
        """(R, C), for a loss that needs full logits."""
        return self.whole_teacher().dense().logits_RC

    def teacher_weights(self) -> torch.Tensor | None:
        """(R,) weight of each row in a loss on the teacher."""
        if self.weights_R is None or self.trust_R is None:
            return self.trust_R if self.weights_R is None else self.weights_R
        return self.weights_R * self.trust_R

    def teacher_embedding(self) -> torch.Tensor:
        """(B, E); present for every loss that needs embeddings."""
        assert self.teacher_embedding_BE is not None
        return self.teacher_embedding_BE

    def student_embedding(self) -> torch.Tensor:
        """(B, H) mean of the last layer over the real tokens."""
        return pooled(self.student_hidden[-1], self.mask_BT)


def pooled(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """(B, H) mean over the real tokens (Reimers & Gurevych 2019, section 3)."""
    mask = mask_BT.unsqueeze(-1).to(hidden_BTH.dtype)
    return (hidden_BTH * mask).sum(1) / mask.sum(1).clamp(min=1)
