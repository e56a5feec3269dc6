"""Hard labels: the task's loss on the labels, cross-entropy for classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.distribution import HiddenAndHead, full
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses._rows import mean_of_logits

if TYPE_CHECKING:
    import torch

    from edgedistill.losses._tiled import LossOfLogits


class HardLabelSpec(LossSpec):
    """`hard_label`: the task's loss on the labels, with optional label smoothing."""

    kind: Literal["hard_label"]
    smoothing: float = Field(0.0, ge=0, lt=1)
    """Label smoothing."""


def hard_label(
    losses_R: torch.Tensor,  # noqa: N803
    known_R: torch.Tensor,  # noqa: N803
    weights_R: torch.Tensor | None = None,  # noqa: N803
) -> torch.Tensor:
    """Weighted mean of the task's losses over the decisions with a label; zero if there are none."""
    counted = known_R.to(losses_R.dtype)
    if weights_R is not None:
        counted = counted * weights_R.to(losses_R.dtype)
    return (losses_R * counted).sum() / counted.sum().clamp(min=1e-8)


def next_token(inputs: LossInputs, right_R: torch.Tensor, smoothing: float) -> torch.Tensor:  # noqa: N803
    """The same with cross-entropy over a vocabulary, computing logits tile by tile; label smoothing as in Szegedy et
    al. 2016, section 7."""
    from torch.nn import functional

    def loss_of(tile: slice) -> LossOfLogits:
        right = right_R[tile]
        return lambda logits, some: functional.cross_entropy(
            full(logits), right[some], label_smoothing=smoothing, reduction="none"
        )

    counted = inputs.known_R.float()
    if inputs.weights_R is not None:
        counted = counted * inputs.weights_R.float()
    return mean_of_logits(inputs.student, loss_of, counted)


def build(spec: HardLabelSpec, student: ModelShape | None = None, teacher: ModelShape | None = None) -> torch.nn.Module:
    """The loss term; it has no parameters."""
    import torch

    class HardLabel(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            if inputs.right_R is not None and isinstance(inputs.student, HiddenAndHead):
                return next_token(inputs, inputs.right_R, spec.smoothing)
            assert inputs.own_losses is not None, "the plan gives labels to every loss that needs them"
            return hard_label(inputs.own_losses(spec.smoothing), inputs.known_R, inputs.weights_R)

    return HardLabel()


LOSS = Loss(api=1, version=1, spec=HardLabelSpec, needs=frozenset({"labels"}), build=build)
