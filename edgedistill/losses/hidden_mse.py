"""Hidden states: mean squared error between mapped layers (FitNets, Romero et al. 2015; TinyBERT, Jiao et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.interfaces import LossInputs, ModelSizes
from edgedistill.spec import Spec

if TYPE_CHECKING:
    import torch

NEEDS = frozenset({"hidden"})

LayerMap = Literal["uniform", "last"] | tuple[tuple[int, int], ...]


class HiddenMseSpec(Spec):
    """`hidden_mse`: the student's layers repeat the teacher's, through a learned projection where widths differ."""

    kind: Literal["hidden_mse"]
    weight: float = Field(1.0, gt=0)
    layers: LayerMap = "uniform"


SPEC = HiddenMseSpec


def layer_pairs(layers: LayerMap, student_layers: int, teacher_layers: int) -> list[tuple[int, int]]:
    """(student layer, teacher layer) pairs, counted as `transformers` counts hidden states: 0 is the embeddings.

    `uniform` maps student layer i to teacher layer round(i * M / N) (TinyBERT, section 3.1), embeddings to embeddings.

    Raises:
        ValueError: a listed layer that the model doesn't have.
    """
    if layers == "uniform":
        return [(i, round(i * teacher_layers / student_layers)) for i in range(student_layers + 1)]
    if layers == "last":
        return [(student_layers, teacher_layers)]
    for student, teacher in layers:
        if not (0 <= student <= student_layers and 0 <= teacher <= teacher_layers):
            raise ValueError(
                f"hidden_mse: layer pair [{student}, {teacher}] is outside the student's 0..{student_layers} "
                f"and the teacher's 0..{teacher_layers}"
            )
    return list(layers)


def hidden_mse(student_BTH: torch.Tensor, teacher_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """Mean squared difference over the real tokens and the hidden dimensions."""
    mask = mask_BT.unsqueeze(-1).to(student_BTH.dtype)
    squared = (student_BTH.float() - teacher_BTH.float()) ** 2 * mask
    return squared.sum() / (mask.sum() * student_BTH.shape[-1]).clamp(min=1)


def build(spec: HiddenMseSpec, student: ModelSizes, teacher: ModelSizes | None) -> torch.nn.Module:
    """The loss term, with one projection a pair when student and teacher differ in width."""
    import torch

    if teacher is None:
        raise ValueError("hidden_mse needs one teacher")
    pairs = layer_pairs(spec.layers, student.layers, teacher.layers)
    wide, narrow = teacher.hidden_size, student.hidden_size

    class HiddenMse(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.projections = torch.nn.ModuleList(
                torch.nn.Identity() if narrow == wide else torch.nn.Linear(narrow, wide) for _ in pairs
            )

        def forward(self, inputs: LossInputs) -> torch.Tensor:
            assert inputs.teacher_hidden is not None, "the plan gives every hidden_mse loss its teacher's states"
            terms = [
                hidden_mse(project(inputs.student_hidden[s]), inputs.teacher_hidden[t], inputs.mask_BT)
                for project, (s, t) in zip(self.projections, pairs, strict=True)
            ]
            return torch.stack(terms).mean()

    return HiddenMse()
