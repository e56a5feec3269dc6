"""Shared by losses over hidden states: layer maps, and projections if widths differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgedistill.contracts.layer_maps import LayerMap, layer_pairs
from edgedistill.contracts.loss import LossInputs
from edgedistill.contracts.model_shape import ModelShape

if TYPE_CHECKING:
    import torch

Distance = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], "torch.Tensor"]


def mapped_layers(
    layers: LayerMap, student: ModelShape, teacher: ModelShape | None, distance: Distance
) -> torch.nn.Module:
    """A term: the mean over layer pairs of `distance(student_BTH, teacher_BTH, mask_BT)`.

    If widths differ, one linear projection per pair maps the student to the teacher's width (TinyBERT, eq. 8); it is
    trained in the round and never becomes part of the student.
    """
    import torch

    if teacher is None:
        raise ValueError("hidden states need one teacher")
    pairs = layer_pairs(layers, student.layers, teacher.layers)
    wide, narrow = teacher.hidden_size, student.hidden_size

    class MappedLayers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.projections = torch.nn.ModuleList(
                torch.nn.Identity() if narrow == wide else torch.nn.Linear(narrow, wide) for _ in pairs
            )

        def forward(self, inputs: LossInputs) -> torch.Tensor:
            assert inputs.teacher_hidden is not None, "the plan gives every such loss its teacher's hidden states"
            terms = [
                distance(project(inputs.student_hidden[s]), inputs.teacher_hidden[t], inputs.mask_BT)
                for project, (s, t) in zip(self.projections, pairs, strict=True)
            ]
            return torch.stack(terms).mean()

    return MappedLayers()


def mean_over_tokens(values_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """The mean of (B, T) values over the real tokens."""
    mask = mask_BT.to(values_BT.dtype)
    return (values_BT * mask).sum() / mask.sum().clamp(min=1)
