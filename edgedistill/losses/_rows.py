"""Shared by losses over rows: weighted means, tiled if needed; divergences, mixtures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgedistill.contracts.distribution import Compared, Dense, HiddenAndHead
from edgedistill.contracts.loss import LossInputs

if TYPE_CHECKING:
    import torch

    from edgedistill.losses._tiled import LossOfLogits, LossOfTile


def mean_over_rows(values_R: torch.Tensor, weights_R: torch.Tensor | None) -> torch.Tensor:  # noqa: N803
    """The mean of (R,) values, or their weighted mean; zero if there are none, or all weights are zero."""
    if weights_R is None:
        return values_R.mean() if len(values_R) else values_R.sum()
    weights = weights_R.to(values_R.dtype)
    return (values_R * weights).sum() / weights.sum().clamp(min=1e-8)


def mean_of_logits(
    student: Dense | HiddenAndHead,
    loss_of: LossOfTile,
    weights_R: torch.Tensor | None,  # noqa: N803
) -> torch.Tensor:
    """The mean of a loss that is separate for each decision's logits, whatever form the student's are in: from hidden
    states and a head, logits are computed tile by tile.

    Args:
        loss_of: (which decisions are a tile) -> ((logits (r, C) of some of them, which of these) -> (r,) the loss).
    """
    every = slice(None)
    if isinstance(student, Dense):
        return mean_over_rows(loss_of(every)(student.logits_RC, every), weights_R)
    from edgedistill.losses._tiled import tiled_mean

    return tiled_mean(student, loss_of, weights_R)


def mean_of_soft_targets(
    inputs: LossInputs, temperature: float, measure: Callable[[Compared], torch.Tensor]
) -> torch.Tensor:
    """The mean of `measure` (r,) of teacher and student at a temperature, with the teacher's weights."""
    teacher = inputs.teacher
    assert teacher is not None, "the plan gives a distribution to every loss that needs logits"
    if isinstance(teacher, HiddenAndHead):
        teacher = teacher.as_multiplied()

    def loss_of(tile: slice) -> LossOfLogits:
        said = teacher.part(tile)
        if isinstance(said, HiddenAndHead):
            said = said.dense()
        return lambda logits, some: measure(said.part(some).beside(logits, temperature))

    return mean_of_logits(inputs.student_beside_teacher, loss_of, inputs.teacher_weights())


def divergence(log_p_RM: torch.Tensor, log_q_RM: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """(R,) KL(p || q) in nats, from log-probabilities."""
    return (log_p_RM.exp() * (log_p_RM - log_q_RM)).sum(-1)


def log_mixture(log_p_RM: torch.Tensor, log_q_RM: torch.Tensor, share: float) -> torch.Tensor:  # noqa: N803
    """(R, M) log(share * p + (1 - share) * q) without leaving log space."""
    import math

    import torch

    return torch.logaddexp(log_p_RM + math.log(share), log_q_RM + math.log1p(-share))
