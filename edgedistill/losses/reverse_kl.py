"""Reverse KL divergence: penalises what the teacher finds unlikely (MiniLLM, Gu et al. 2024, eq. 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.distribution import Compared
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses._rows import divergence, mean_of_soft_targets

if TYPE_CHECKING:
    import torch


class ReverseKlSpec(LossSpec):
    """`reverse_kl`: KL divergence from the student to the teacher; mode-seeking, where `kl` is mode-covering."""

    kind: Literal["reverse_kl"]
    temperature: float = Field(1.0, gt=0)
    """Softmax temperature of both distributions."""


def reverse_kl(
    compared: Compared,
    temperature: float,
) -> torch.Tensor:
    """(R,) KL(student || teacher) at `temperature`, times its square, in nats; zero exactly at equality."""
    teacher, student = compared.teacher, compared.student
    return divergence(student, teacher) * temperature**2


def build(spec: ReverseKlSpec, student: ModelShape | None = None, teacher: ModelShape | None = None) -> torch.nn.Module:
    """The loss term; it has no parameters."""
    import torch

    class ReverseKl(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            return mean_of_soft_targets(
                inputs, spec.temperature, lambda compared: reverse_kl(compared, spec.temperature)
            )

    return ReverseKl()


LOSS = Loss(
    api=1,
    version=1,
    spec=ReverseKlSpec,
    needs=frozenset({"logits"}),
    build=build,
    temperature=lambda spec: spec.temperature,
    forms=frozenset({"dense", "top-k", "hidden"}),
)
