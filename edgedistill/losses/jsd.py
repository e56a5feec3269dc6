"""Generalised Jensen-Shannon divergence (GKD, Agarwal et al. 2024, eq. 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.distribution import Compared
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses._rows import divergence, log_mixture, mean_of_soft_targets

if TYPE_CHECKING:
    import torch


class JsdSpec(LossSpec):
    """`jsd`: generalised Jensen-Shannon divergence, between forward KL (beta near 0) and reverse KL (beta near 1)."""

    kind: Literal["jsd"]
    temperature: float = Field(1.0, gt=0)
    """Softmax temperature of both distributions."""
    beta: float = Field(0.5, gt=0, lt=1)
    """Weight of the teacher in the mixture: near 0 forward KL, near 1 reverse KL."""


def jsd(
    compared: Compared,
    temperature: float,
    beta: float,
) -> torch.Tensor:
    """(R,) beta KL(p || m) + (1 - beta) KL(q || m), m = beta p + (1 - beta) q, p the teacher and q the student.

    In nats at `temperature`, times its square; zero exactly at equality, and symmetric for beta = 0.5.
    """
    teacher, student = compared.teacher, compared.student
    mixture = log_mixture(teacher, student, beta)
    mixed = beta * divergence(teacher, mixture) + (1 - beta) * divergence(student, mixture)
    return mixed * temperature**2


def build(spec: JsdSpec, student: ModelShape | None = None, teacher: ModelShape | None = None) -> torch.nn.Module:
    """The loss term; it has no parameters."""
    import torch

    class Jsd(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            return mean_of_soft_targets(
                inputs, spec.temperature, lambda compared: jsd(compared, spec.temperature, spec.beta)
            )

    return Jsd()


LOSS = Loss(
    api=1,
    version=1,
    spec=JsdSpec,
    needs=frozenset({"logits"}),
    build=build,
    temperature=lambda spec: spec.temperature,
    forms=frozenset({"dense", "top-k", "hidden"}),
)
