"""Reverse KL divergence: the student avoids what the teacher finds unlikely (MiniLLM, Gu et al. 2024, eq. 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.losses._rows import divergence, log_probabilities, mean_over_rows
from edgedistill.model_shape import ModelShape

if TYPE_CHECKING:
    import torch


class ReverseKlSpec(LossSpec):
    """`reverse_kl`: KL from the student to the teacher; seeks modes where `kl` covers them."""

    kind: Literal["reverse_kl"]
    temperature: float = Field(1.0, gt=0)


def reverse_kl(
    student_logits_RC: torch.Tensor,  # noqa: N803
    teacher_logits_RC: torch.Tensor,  # noqa: N803
    temperature: float,
) -> torch.Tensor:
    """(R,) KL(student || teacher) at `temperature`, times its square, in nats; zero exactly at equality."""
    student = log_probabilities(student_logits_RC, temperature)
    teacher = log_probabilities(teacher_logits_RC, temperature)
    return divergence(student, teacher) * temperature**2


def build(spec: ReverseKlSpec, student: ModelShape | None = None, teacher: ModelShape | None = None) -> torch.nn.Module:
    """The loss term; it has no parameters."""
    import torch

    class ReverseKl(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            rows = reverse_kl(inputs.student_logits_RC, inputs.teacher_logits(), spec.temperature)
            return mean_over_rows(rows, inputs.teacher_weights())

    return ReverseKl()


LOSS = Loss(
    api=1,
    version=1,
    spec=ReverseKlSpec,
    needs=frozenset({"logits"}),
    build=build,
    temperature=lambda spec: spec.temperature,
)
