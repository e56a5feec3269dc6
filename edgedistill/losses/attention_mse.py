"""Attention maps: mean squared error between mapped layers (TinyBERT, Jiao et al. 2020, eq. 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgedistill.contracts.distribution import full
from edgedistill.contracts.layer_maps import LayerMap, layer_pairs
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.contracts.planned_model import PlannedModel
from edgedistill.errors import UserError

if TYPE_CHECKING:
    import torch


class AttentionMseSpec(LossSpec):
    """`attention_mse`: matches the attention maps; needs equal numbers of heads, or `heads: mean`."""

    kind: Literal["attention_mse"]
    layers: LayerMap = "uniform"
    """Which teacher layer each student layer is matched with."""
    heads: Literal["each", "mean"] = "each"
    """Compare heads one by one, or their mean."""


def attention_mse(
    student_BATT: torch.Tensor,  # noqa: N803
    teacher_BATT: torch.Tensor,  # noqa: N803
    mask_BT: torch.Tensor,  # noqa: N803
) -> torch.Tensor:
    """Squared difference of attention probabilities, averaged over heads and over pairs of real tokens.

    TinyBERT compares scores before the softmax; probabilities are what every attention implementation gives.
    """
    mask = mask_BT.to(student_BATT.dtype)
    pairs = mask[:, None, :, None] * mask[:, None, None, :]
    squared = (full(student_BATT) - full(teacher_BATT)) ** 2 * pairs
    return squared.sum() / (pairs.sum() * student_BATT.shape[1]).clamp(min=1)


def build(spec: AttentionMseSpec, student: ModelShape, teacher: ModelShape | None) -> torch.nn.Module:
    """The loss term; it has no parameters.

    Raises:
        UserError: different numbers of heads with `heads: each`.
    """
    import torch

    if teacher is None:
        raise ValueError("attention needs one teacher")
    # Hidden state i is the output of layer i, with attention at index i - 1; the embeddings have none.
    pairs = [(s - 1, t - 1) for s, t in layer_pairs(spec.layers, student.layers, teacher.layers) if min(s, t) > 0]
    for s, t in pairs if spec.heads == "each" else ():
        if student.heads_at(s) != teacher.heads_at(t):
            raise UserError(
                f"attention_mse: the student has {student.heads_at(s)} heads in layer {s + 1}, the teacher "
                f"{teacher.heads_at(t)} in layer {t + 1}; expected equal numbers, or heads: mean, or the loss "
                "minilm_relations"
            )

    class AttentionMse(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            terms = []
            for s, t in pairs:
                own, given = inputs.student_attention[s], inputs.teacher_attention[t]
                if spec.heads == "mean":
                    own, given = own.mean(1, keepdim=True), given.mean(1, keepdim=True)
                terms.append(attention_mse(own, given, inputs.mask_BT))
            return torch.stack(terms).mean()

    return AttentionMse()


def check(spec: AttentionMseSpec, student: PlannedModel, teacher: PlannedModel) -> tuple[str, str] | None:
    """Both must have equal numbers of heads, unless means are compared."""
    if spec.heads == "mean" or student.shape is None or teacher.shape is None:
        return None
    own, given = student.shape.heads, teacher.shape.heads
    if own == given:
        return None
    return "", (
        f"'attention_mse' compares head by head, but the student has {own} heads and the teacher {given}; expected "
        "equal numbers, or heads: mean, or the loss minilm_relations"
    )


LOSS = Loss(api=1, version=1, spec=AttentionMseSpec, needs=frozenset({"attention"}), build=build, check=check)
