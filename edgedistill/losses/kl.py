"""Soft targets: forward KL divergence at a temperature (Hinton, Vinyals & Dean 2015, section 2, eq. 2-4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.interfaces import LossInputs, ModelSizes
from edgedistill.spec import Spec

if TYPE_CHECKING:
    import torch

NEEDS = frozenset({"logits"})


class KlSpec(Spec):
    """`kl`: match the teacher's distribution at `temperature`."""

    kind: Literal["kl"]
    weight: float = Field(1.0, gt=0)
    temperature: float = Field(2.0, gt=0)


SPEC = KlSpec


def kl(student_logits_RC: torch.Tensor, teacher_logits_RC: torch.Tensor, temperature: float) -> torch.Tensor:  # noqa: N803
    """Mean over rows of KL(teacher || student) at `temperature`, times its square, in nats.

    The gradient of soft targets scales with 1/T², so T² keeps their weight against hard labels when T changes
    (Hinton et al. 2015, end of section 2). Zero exactly when both give the same distribution.
    """
    from torch.nn import functional

    student = functional.log_softmax(student_logits_RC.float() / temperature, dim=-1)
    teacher = functional.log_softmax(teacher_logits_RC.float() / temperature, dim=-1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def build(spec: KlSpec, student: ModelSizes | None = None, teacher: ModelSizes | None = None) -> torch.nn.Module:
    """The loss term; it has no parameters."""
    import torch

    class Kl(torch.nn.Module):
        def forward(self, inputs: LossInputs) -> torch.Tensor:
            assert inputs.teacher_logits_RC is not None, "the plan gives every kl loss its teacher's logits"
            return kl(inputs.student_logits_RC, inputs.teacher_logits_RC, spec.temperature)

    return Kl()
