"""DIST: the student keeps the teacher's relations, not its values (Huang et al. 2022, eq. 5-9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.distribution import log_probabilities
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape

if TYPE_CHECKING:
    import torch


class DistSpec(LossSpec):
    """`dist`: Pearson correlation of probabilities within each row (inter-class) and each class (intra-class)."""

    kind: Literal["dist"]
    temperature: float = Field(1.0, gt=0)
    """Softmax temperature of both distributions."""
    inter: float = Field(1.0, ge=0)
    """Weight of the correlation between classes of one decision."""
    intra: float = Field(1.0, ge=0)
    """Weight of the correlation between decisions for one class."""


def pearson_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """1 - Pearson correlation over the last axis, averaged over the rest: from 0 (equal up to scale, shift) to 2."""
    from torch.nn import functional

    centred_a, centred_b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return (1 - functional.cosine_similarity(centred_a, centred_b, dim=-1)).mean()


def dist(
    student_logits_RC: torch.Tensor,  # noqa: N803
    teacher_logits_RC: torch.Tensor,  # noqa: N803
    temperature: float,
    inter: float,
    intra: float,
) -> torch.Tensor:
    """inter * (distance within rows) + intra * (distance within classes, over the batch), times T²; zero without
    rows."""
    if not len(student_logits_RC):
        return student_logits_RC.sum()
    student = log_probabilities(student_logits_RC, temperature).exp()
    teacher = log_probabilities(teacher_logits_RC, temperature).exp()
    rows, classes = pearson_distance(student, teacher), pearson_distance(student.T, teacher.T)
    return (inter * rows + intra * classes) * temperature**2


def build(spec: DistSpec, student: ModelShape | None = None, teacher: ModelShape | None = None) -> torch.nn.Module:
    """The loss term; it has no parameters. It uses the batch as a whole, so row weights do not apply."""
    import torch

    class Dist(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            student_logits, teacher_logits = inputs.student_beside_teacher.dense().logits_RC, inputs.teacher_logits()
            return dist(student_logits, teacher_logits, spec.temperature, spec.inter, spec.intra)

    return Dist()


LOSS = Loss(
    api=1,
    version=1,
    spec=DistSpec,
    needs=frozenset({"logits"}),
    build=build,
    forms=frozenset({"dense", "hidden"}),
    temperature=lambda spec: spec.temperature,
)
