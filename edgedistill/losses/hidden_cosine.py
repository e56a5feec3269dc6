"""Hidden states: cosine distance between mapped layers (DistilBERT, Sanh et al. 2019, section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.interfaces import ModelSizes
from edgedistill.layer_maps import LayerMap
from edgedistill.losses._layers import mapped_layers, mean_over_tokens
from edgedistill.losses._rows import full
from edgedistill.spec import Spec

if TYPE_CHECKING:
    import torch

VERSION = 1
NEEDS = frozenset({"hidden"})


class HiddenCosineSpec(Spec):
    """`hidden_cosine`: the student's states point where the teacher's do; their length is free."""

    kind: Literal["hidden_cosine"]
    weight: float = Field(1.0, gt=0)
    layers: LayerMap = "uniform"


SPEC = HiddenCosineSpec


def hidden_cosine(student_BTH: torch.Tensor, teacher_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """Mean over the real tokens of 1 - cosine similarity: from 0 (same direction) to 2."""
    from torch.nn import functional

    similarity = functional.cosine_similarity(full(student_BTH), full(teacher_BTH), dim=-1)
    return mean_over_tokens(1 - similarity, mask_BT)


def build(spec: HiddenCosineSpec, student: ModelSizes, teacher: ModelSizes | None) -> torch.nn.Module:
    """The loss term, with one projection a pair when student and teacher differ in width."""
    return mapped_layers(spec.layers, student, teacher, hidden_cosine)
