"""What the losses over rows share: means that can be weighted, divergences and mixtures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def mean_over_rows(values_R: torch.Tensor, weights_R: torch.Tensor | None) -> torch.Tensor:  # noqa: N803
    """The mean of (R,) values, or their weighted mean; zero where all weights are zero."""
    if weights_R is None:
        return values_R.mean()
    weights = weights_R.to(values_R.dtype)
    return (values_R * weights).sum() / weights.sum().clamp(min=1e-8)


def divergence(log_p_RM: torch.Tensor, log_q_RM: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """(R,) KL(p || q) in nats, from log-probabilities."""
    return (log_p_RM.exp() * (log_p_RM - log_q_RM)).sum(-1)


def log_mixture(log_p_RM: torch.Tensor, log_q_RM: torch.Tensor, share: float) -> torch.Tensor:  # noqa: N803
    """(R, M) log(share * p + (1 - share) * q) without leaving log space."""
    import math

    import torch

    return torch.logaddexp(log_p_RM + math.log(share), log_q_RM + math.log1p(-share))
