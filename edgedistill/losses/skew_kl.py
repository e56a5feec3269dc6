"""Skew KL divergence: mixing both distributions keeps gradients bounded (DistiLLM, Ko et al. 2024, eq. 4-5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.distribution import Compared
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses._rows import divergence, log_mixture, mean_of_soft_targets

if TYPE_CHECKING:
    import torch


class SkewKlSpec(LossSpec):
    """`skew_kl`: KL divergence to a mixture of teacher and student."""

    kind: Literal["skew_kl"]
    temperature: float = Field(1.0, gt=0)
    """Softmax temperature of both distributions."""
    skew: float = Field(0.1, gt=0, lt=1)
    """Share of the first distribution in the mixture."""
    reverse: bool = False
    """Measure from the student instead of from the teacher."""


def skew_kl(
    compared: Compared,
    temperature: float,
    skew: float,
    reverse: bool = False,
) -> torch.Tensor:
    """(R,) KL(p || skew p + (1 - skew) q) with p the teacher, q the student (the other way round with `reverse`).

    In nats at `temperature`, times its square; zero exactly at equality, at most -log(skew) T².
    """
    teacher, student = compared.teacher, compared.student
    first, second = (student, teacher) if reverse else (teacher, student)
    return divergence(first, log_mixture(first, second, skew)) * temperature**2


def build(spec: SkewKlSpec, student: ModelShape | None = None, teacher: ModelShape | None = None) -> torch.nn.Module:
    """The loss term; it has no parameters."""
    import torch

    class SkewKl(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            return mean_of_soft_targets(
                inputs, spec.temperature, lambda compared: skew_kl(compared, spec.temperature, spec.skew, spec.reverse)
            )

    return SkewKl()


LOSS = Loss(
    api=1,
    version=1,
    spec=SkewKlSpec,
    needs=frozenset({"logits"}),
    build=build,
    temperature=lambda spec: spec.temperature,
    forms=frozenset({"dense", "top-k", "hidden"}),
)
