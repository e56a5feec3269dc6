"""Text embeddings: the student's pooled last layer matches the teacher's (Reimers & Gurevych 2020, eq. 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgedistill.contracts.distribution import full
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses._rows import mean_over_rows

if TYPE_CHECKING:
    import torch


class EmbeddingSpec(LossSpec):
    """`embedding`: matches pooled embeddings."""

    kind: Literal["embedding"]
    distance: Literal["mse", "cosine", "similarity"] = "mse"
    """`mse`, `cosine`, or `similarity`: compare the pairwise similarities within the batch, without a projection."""


def mse(student_BE: torch.Tensor, teacher_BE: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """(B,) mean squared difference."""
    return ((full(student_BE) - full(teacher_BE)) ** 2).mean(-1)


def cosine(student_BE: torch.Tensor, teacher_BE: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """(B,) 1 - cosine similarity."""
    from torch.nn import functional

    return 1 - functional.cosine_similarity(full(student_BE), full(teacher_BE), dim=-1)


def similarity(student_BE: torch.Tensor, teacher_BE: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """(B,) squared difference of each item's cosine similarities with the whole batch (Tung & Mori 2019, eq. 4)."""
    from torch.nn import functional

    student = functional.normalize(full(student_BE), dim=-1)
    teacher = functional.normalize(full(teacher_BE), dim=-1)
    return ((student @ student.T - teacher @ teacher.T) ** 2).mean(-1)


def build(spec: EmbeddingSpec, student: ModelShape, teacher: ModelShape | None) -> torch.nn.Module:
    """The loss term, with a projection when the widths differ and the distance needs equal ones."""
    import torch

    if teacher is None:
        raise ValueError("embeddings need one teacher")
    narrow, wide = student.hidden_size, teacher.hidden_size
    same = narrow == wide or spec.distance == "similarity"
    distance = {"mse": mse, "cosine": cosine, "similarity": similarity}[spec.distance]

    class Embedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.projection = torch.nn.Identity() if same else torch.nn.Linear(narrow, wide)

        def forward(self, inputs: LossInputs) -> torch.Tensor:
            return mean_over_rows(
                distance(self.projection(inputs.student_embedding()), inputs.teacher_embedding()), None
            )

    return Embedding()


LOSS = Loss(api=1, version=1, spec=EmbeddingSpec, needs=frozenset({"embedding"}), build=build)
