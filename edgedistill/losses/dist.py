"""DIST: the student keeps the teacher's relations, not its values (Huang et al. 2022, eq. 5-9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.distribution import Compared, Dense
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses._rows import mean_over_rows

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


def pearson_distance(a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """1 - Pearson correlation over the last axis: from 0 (equal up to scale, shift) to 2.

    Args:
        weights: of the entries along that axis; None: equal.
    """
    from torch.nn import functional

    if weights is None:
        return 1 - functional.cosine_similarity(a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True), dim=-1)
    weights = weights.to(a.dtype)
    shares = weights / weights.sum().clamp(min=1e-8)
    centred_a, centred_b = (x - (x * shares).sum(-1, keepdim=True) for x in (a, b))
    return 1 - functional.cosine_similarity(centred_a * shares.sqrt(), centred_b * shares.sqrt(), dim=-1)


def dist(
    compared: Compared,
    temperature: float,
    inter: float,
    intra: float,
    weights_R: torch.Tensor | None = None,  # noqa: N803
) -> torch.Tensor:
    """inter * (distance within rows) + intra * (distance within classes, over the batch), times T²; zero without
    rows.

    Args:
        compared: log-probabilities (R, C) at the temperature.
        weights_R: of each row, in both; None: equal.
    """
    if not len(compared.student):
        return compared.student.sum()
    student, teacher = compared.student.exp(), compared.teacher.exp()
    rows = mean_over_rows(pearson_distance(student, teacher), weights_R)
    classes = pearson_distance(student.T, teacher.T, weights_R).mean()
    return (inter * rows + intra * classes) * temperature**2


def build(spec: DistSpec, student: ModelShape | None = None, teacher: ModelShape | None = None) -> torch.nn.Module:
    """The loss term; it has no parameters."""
    import torch

    class Dist(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            teacher, student_logits = Dense(inputs.teacher_logits()), inputs.student_beside_teacher.dense().logits_RC
            compared = teacher.beside(student_logits, spec.temperature)
            return dist(compared, spec.temperature, spec.inter, spec.intra, inputs.teacher_weights())

    return Dist()


LOSS = Loss(
    api=1,
    version=2,
    spec=DistSpec,
    needs=frozenset({"logits"}),
    build=build,
    forms=frozenset({"dense", "hidden"}),
    temperature=lambda spec: spec.temperature,
)
