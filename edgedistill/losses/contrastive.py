"""Contrastive: matches each text's student embedding with its teacher embedding among the batch's (CRD, Tian et al.
2020).

InfoNCE (van den Oord et al. 2018, eq. 4) with the teacher's embedding of the same text as the positive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.distribution import full
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape

if TYPE_CHECKING:
    import torch


class ContrastiveSpec(LossSpec):
    """`contrastive`: InfoNCE over the batch."""

    kind: Literal["contrastive"]
    temperature: float = Field(0.05, gt=0)
    """Temperature of the similarities."""


def contrastive(student_BE: torch.Tensor, teacher_BE: torch.Tensor, temperature: float) -> torch.Tensor:  # noqa: N803
    """Cross-entropy of identifying the matching teacher embedding among B, in nats; log(B) by chance.

    >>> import torch
    >>> alike = torch.ones(4, 8)
    >>> round(contrastive(alike, alike, temperature=0.05).item(), 4)  # log(4)
    1.3863
    """
    import torch
    from torch.nn import functional

    student = functional.normalize(full(student_BE), dim=-1)
    teacher = functional.normalize(full(teacher_BE), dim=-1)
    return functional.cross_entropy(
        student @ teacher.T / temperature, torch.arange(len(student), device=student.device)
    )


def build(spec: ContrastiveSpec, student: ModelShape, teacher: ModelShape | None) -> torch.nn.Module:
    """The loss term, with a projection to the teacher's width if it differs."""
    import torch

    if teacher is None:
        raise ValueError("embeddings need one teacher")
    narrow, wide = student.hidden_size, teacher.hidden_size
    same = narrow == wide

    class Contrastive(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.projection = torch.nn.Identity() if same else torch.nn.Linear(narrow, wide)

        def forward(self, inputs: LossInputs) -> torch.Tensor:
            return contrastive(
                self.projection(inputs.student_embedding()), inputs.teacher_embedding(), spec.temperature
            )

    return Contrastive()


LOSS = Loss(api=1, version=1, spec=ContrastiveSpec, needs=frozenset({"embedding"}), build=build)
