"""Self-attention relations of one layer: Q-Q, K-K and V-V (MiniLMv2, Wang et al. 2021, eq. 4-7)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.distribution import full
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_layout import LAYOUTS
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.contracts.planned_model import PlannedModel
from edgedistill.errors import UserError

if TYPE_CHECKING:
    import torch


class MinilmRelationsSpec(LossSpec):
    """`minilm_relations`: the last layer matches the self-attention relations of one teacher layer; heads and width may
    differ."""

    kind: Literal["minilm_relations"]
    relation_heads: int = Field(12, ge=1)
    """Number of relation heads that queries, keys and values are regrouped into; must divide both widths."""
    teacher_layer: int | None = Field(None, ge=1)
    """Teacher layer, counted from 1. Default: the last (the paper uses an upper middle one for 24-layer teachers)."""


def relations(values_BTD: torch.Tensor, mask_BT: torch.Tensor, heads: int) -> torch.Tensor:  # noqa: N803
    """(B, heads, T, T) log-softmax of scaled dot products between tokens; padding gets no probability."""
    batch, length, width = values_BTD.shape
    split = full(values_BTD).view(batch, length, heads, width // heads).transpose(1, 2)
    scores = split @ split.transpose(-1, -2) / (width // heads) ** 0.5
    return scores.masked_fill(mask_BT[:, None, None, :] == 0, -1e9).log_softmax(-1)


def relation_distance(
    student_BTD: torch.Tensor,  # noqa: N803
    teacher_BTD: torch.Tensor,  # noqa: N803
    mask_BT: torch.Tensor,  # noqa: N803
    heads: int,
) -> torch.Tensor:
    """Mean over heads and real tokens of KL(teacher relation || student relation), in nats; zero at equality."""
    student, teacher = relations(student_BTD, mask_BT, heads), relations(teacher_BTD, mask_BT, heads)
    divergence = (teacher.exp() * (teacher - student)).sum(-1)
    mask = mask_BT[:, None, :].to(divergence.dtype)
    return (divergence * mask).sum() / (mask.sum() * heads).clamp(min=1)


def build(spec: MinilmRelationsSpec, student: ModelShape, teacher: ModelShape | None) -> torch.nn.Module:
    """The loss term; it has no parameters.

    Raises:
        UserError: relation heads that do not divide a width, or a layer that does not exist.
    """
    import torch

    if teacher is None:
        raise ValueError("relations need one teacher")
    if spec.teacher_layer is not None and spec.teacher_layer > teacher.layers:
        raise UserError(f"minilm_relations.teacher_layer: got {spec.teacher_layer}, expected 1 to {teacher.layers}")
    layer = (spec.teacher_layer or teacher.layers) - 1
    widths = (student.relation_width(student.layers - 1), teacher.relation_width(layer))
    for who, width in zip(("student", "teacher"), widths, strict=True):
        if width % spec.relation_heads:
            raise UserError(
                f"minilm_relations.relation_heads: got {spec.relation_heads}, expected a divisor of the {who}'s "
                f"width {width} (for example {math.gcd(*widths)}, which divides both sides')"
            )

    class MinilmRelations(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            own, given = inputs.student_relations[-1], inputs.teacher_relations[layer]
            terms = [
                relation_distance(a, b, inputs.mask_BT, spec.relation_heads) for a, b in zip(own, given, strict=True)
            ]
            return torch.stack(terms).mean()

    return MinilmRelations()


def check(spec: MinilmRelationsSpec, student: PlannedModel, teacher: PlannedModel) -> tuple[str, str] | None:
    """The layout must be known, and the heads must divide both widths."""
    for model in (student, teacher):
        if model.architecture is not None and model.architecture not in LAYOUTS:
            return "", (
                f"'minilm_relations' cannot find the queries, keys and values of a '{model.architecture}', "
                f"only of {', '.join(sorted(LAYOUTS))}; use hidden_mse, attention_mse or a loss on logits"
            )
    known = {"student": student.shape, "teacher": teacher.shape}
    widths = {who: sizes.hidden_size for who, sizes in known.items() if sizes is not None}
    for who, width in widths.items():
        if width % spec.relation_heads:
            example = math.gcd(*widths.values())
            return "relation_heads", (
                f"got {spec.relation_heads}, expected a divisor of the {who}'s width {width} (for example {example})"
            )
    return None


LOSS = Loss(api=1, version=1, spec=MinilmRelationsSpec, needs=frozenset({"relations"}), build=build, check=check)
