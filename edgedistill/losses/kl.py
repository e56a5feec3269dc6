"""Soft targets: forward KL divergence at a temperature (Hinton, Vinyals & Dean 2015, section 2, eq. 2-4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.distribution import Compared
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses._rows import divergence, mean_of_soft_targets

if TYPE_CHECKING:
    import torch


class KlSpec(LossSpec):
    """`kl`: KL divergence from the teacher's distribution to the student's (soft targets)."""

    kind: Literal["kl"]
    temperature: float = Field(2.0, gt=0)
    """Softmax temperature of both distributions."""


def kl(
    compared: Compared,
    temperature: float,
) -> torch.Tensor:
    """(R,) KL(teacher || student) at `temperature`, times its square, in nats.

    The gradient of soft targets scales with 1/T², so T² keeps their weight relative to hard labels when T changes
    (Hinton et al. 2015, end of section 2). Zero exactly if the distributions are equal.

    >>> import torch
    >>> from edgedistill.contracts.distribution import Dense
    >>> teacher, student = torch.tensor([[0.0, 0.0]]), torch.tensor([[4.0, 0.0]])
    >>> [round(kl(Dense(teacher).beside(logits, 2.0), 2.0).item(), 4) for logits in (teacher, student)]
    [0.0, 1.7351]
    """
    teacher, student = compared.teacher, compared.student
    return divergence(teacher, student) * temperature**2


def build(spec: KlSpec, student: ModelShape | None = None, teacher: ModelShape | None = None) -> torch.nn.Module:
    """The loss term; it has no parameters."""
    import torch

    class Kl(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            return mean_of_soft_targets(inputs, spec.temperature, lambda compared: kl(compared, spec.temperature))

    return Kl()


LOSS = Loss(
    api=1,
    version=1,
    spec=KlSpec,
    needs=frozenset({"logits"}),
    build=build,
    temperature=lambda spec: spec.temperature,
    forms=frozenset({"dense", "top-k", "sampled", "hidden"}),
)
