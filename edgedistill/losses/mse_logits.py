"""Squared error of logits (Ba & Caruana 2014, eq. 1; against KL: Kim et al. 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgedistill.contracts.distribution import full
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses._rows import mean_of_logits

if TYPE_CHECKING:
    import torch

    from edgedistill.losses._tiled import LossOfLogits


class MseLogitsSpec(LossSpec):
    """`mse_logits`: matches the teacher's logits themselves, not only their softmax."""

    kind: Literal["mse_logits"]


def mse_logits(student_logits_RC: torch.Tensor, teacher_logits_RC: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """(R,) mean over classes of the squared difference.

    >>> import torch
    >>> mse_logits(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0]])).tolist()
    [2.5]
    """
    return ((full(student_logits_RC) - full(teacher_logits_RC)) ** 2).mean(-1)


def build(spec: MseLogitsSpec, student: ModelShape | None = None, teacher: ModelShape | None = None) -> torch.nn.Module:
    """The loss term; it has no parameters."""
    import torch

    class MseLogits(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            teacher = inputs.whole_teacher()

            def loss_of(tile: slice) -> LossOfLogits:
                said = teacher.part(tile).dense().logits_RC
                return lambda logits, some: mse_logits(logits, said[some])

            return mean_of_logits(inputs.student_beside_teacher, loss_of, inputs.teacher_weights())

    return MseLogits()


LOSS = Loss(
    api=1,
    version=1,
    spec=MseLogitsSpec,
    needs=frozenset({"logits"}),
    build=build,
    forms=frozenset({"dense", "hidden"}),
)
