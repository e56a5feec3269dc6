"""What the losses over rows share: means that can be weighted, and full precision under autocast."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def full(values: torch.Tensor) -> torch.Tensor:
    """float32 for half-precision tensors: a softmax over many classes loses too much in them."""
    import torch

    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def mean_over_rows(values_R: torch.Tensor, weights_R: torch.Tensor | None) -> torch.Tensor:  # noqa: N803
    """The mean of (R,) values, or their weighted mean; zero where all weights are zero."""
    if weights_R is None:
        return values_R.mean()
    weights = weights_R.to(values_R.dtype)
    return (values_R * weights).sum() / weights.sum().clamp(min=1e-8)


def log_probabilities(logits_RC: torch.Tensor, temperature: float) -> torch.Tensor:  # noqa: N803
    """(R, C) log-softmax at a temperature."""
    from torch.nn import functional

    return functional.log_softmax(full(logits_RC) / temperature, dim=-1)


def divergence(log_p_RC: torch.Tensor, log_q_RC: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """(R,) KL(p || q) in nats, from log-probabilities."""
    return (log_p_RC.exp() * (log_p_RC - log_q_RC)).sum(-1)


def log_mixture(log_p_RC: torch.Tensor, log_q_RC: torch.Tensor, share: float) -> torch.Tensor:  # noqa: N803
    """(R, C) log(share * p + (1 - share) * q) without leaving log space."""
    import math

    import torch

    return torch.logaddexp(log_p_RC + math.log(share), log_q_RC + math.log1p(-share))
