"""Hidden states: mean squared error between mapped layers (FitNets, Romero et al. 2015; TinyBERT, Jiao et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgedistill.contracts.distribution import full
from edgedistill.contracts.layer_maps import LayerMap
from edgedistill.contracts.loss import Loss, LossSpec
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses._layers import mapped_layers, mean_over_tokens

if TYPE_CHECKING:
    import torch


class HiddenMseSpec(LossSpec):
    """`hidden_mse`: matches hidden states, through a learned projection where widths differ."""

    kind: Literal["hidden_mse"]
    layers: LayerMap = "uniform"
    """Which teacher layer each student layer is matched with."""


def hidden_mse(student_BTH: torch.Tensor, teacher_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """Mean squared difference over the real tokens and the hidden dimensions."""
    return mean_over_tokens(((full(student_BTH) - full(teacher_BTH)) ** 2).mean(-1), mask_BT)


def build(spec: HiddenMseSpec, student: ModelShape, teacher: ModelShape | None) -> torch.nn.Module:
    """The loss term, with one projection per pair if student and teacher differ in width."""
    return mapped_layers(spec.layers, student, teacher, hidden_mse)


LOSS = Loss(
    api=1, version=1, spec=HiddenMseSpec, needs=frozenset({"hidden"}), build=build, layers=lambda spec: spec.layers
)
