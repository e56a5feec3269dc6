"""Hidden states: cosine distance between mapped layers (DistilBERT, Sanh et al. 2019, section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgedistill.contracts.distribution import full
from edgedistill.contracts.layer_maps import LayerMap
from edgedistill.contracts.loss import Loss, LossSpec
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses._layers import mapped_layers, mean_over_tokens

if TYPE_CHECKING:
    import torch


class HiddenCosineSpec(LossSpec):
    """`hidden_cosine`: matches the direction of hidden states, not their norm."""

    kind: Literal["hidden_cosine"]
    layers: LayerMap = "uniform"
    """Which teacher layer each student layer is matched with."""


def hidden_cosine(student_BTH: torch.Tensor, teacher_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """Mean over the real tokens of 1 - cosine similarity: from 0 (same direction) to 2.

    >>> import torch
    >>> student, teacher = torch.tensor([[[1.0, 0.0], [9.0, 9.0]]]), torch.tensor([[[0.0, 1.0], [1.0, 1.0]]])
    >>> hidden_cosine(student, teacher, mask_BT=torch.tensor([[1, 0]])).item()  # the second token is padding
    1.0
    """
    from torch.nn import functional

    similarity = functional.cosine_similarity(full(student_BTH), full(teacher_BTH), dim=-1)
    return mean_over_tokens(1 - similarity, mask_BT)


def build(spec: HiddenCosineSpec, student: ModelShape, teacher: ModelShape | None) -> torch.nn.Module:
    """The loss term, with one projection per pair if student and teacher differ in width."""
    return mapped_layers(spec.layers, student, teacher, hidden_cosine)


LOSS = Loss(
    api=1, version=1, spec=HiddenCosineSpec, needs=frozenset({"hidden"}), build=build, layers=lambda spec: spec.layers
)
