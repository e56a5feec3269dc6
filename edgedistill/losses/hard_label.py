"""Hard labels: cross-entropy with the data's own labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.distribution import full
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.sizes import ModelSizes

if TYPE_CHECKING:
    import torch


class HardLabelSpec(LossSpec):
    """`hard_label`: cross-entropy with the labels."""

    kind: Literal["hard_label"]
    smoothing: float = Field(0.0, ge=0, lt=1)


def hard_label(
    logits_RC: torch.Tensor,  # noqa: N803
    labels_R: torch.Tensor,  # noqa: N803
    smoothing: float = 0.0,
    weights_R: torch.Tensor | None = None,  # noqa: N803
) -> torch.Tensor:
    """Mean cross-entropy over the labelled rows, in nats; label smoothing as in Szegedy et al. 2016, section 7.

    Rows with label -100 change nothing; without a labelled row the loss is zero.
    """
    from torch.nn import functional

    rows = functional.cross_entropy(
        full(logits_RC), labels_R, ignore_index=-100, label_smoothing=smoothing, reduction="none"
    )
    counted = (labels_R != -100).to(rows.dtype)
    if weights_R is not None:
        counted = counted * weights_R.to(rows.dtype)
    return (rows * counted).sum() / counted.sum().clamp(min=1e-8)


def build(spec: HardLabelSpec, student: ModelSizes | None = None, teacher: ModelSizes | None = None) -> torch.nn.Module:
    """The loss term; it has no parameters."""
    import torch

    class HardLabel(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            return hard_label(inputs.student_logits_RC, inputs.labels_R, spec.smoothing, inputs.weights_R)

    return HardLabel()


LOSS = Loss(api=1, version=1, spec=HardLabelSpec, needs=frozenset({"labels"}), build=build)
