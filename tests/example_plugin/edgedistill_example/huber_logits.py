"""A loss: the Huber loss between logits, with gradients bounded by `delta`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape

if TYPE_CHECKING:
    import torch


class HuberLogitsSpec(LossSpec):
    """`huber_logits`: squared below `delta`, linear above."""

    kind: Literal["huber_logits"]
    delta: float = Field(1.0, gt=0)


def build(spec: HuberLogitsSpec, student: ModelShape, teacher: ModelShape | None) -> torch.nn.Module:
    """The loss term; it has no parameters."""
    import torch

    class HuberLogits(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            return torch.nn.functional.huber_loss(inputs.student_logits_RC, inputs.teacher_logits(), delta=spec.delta)

    return HuberLogits()


LOSS = Loss(api=1, version=1, spec=HuberLogitsSpec, needs=frozenset({"logits"}), build=build)
