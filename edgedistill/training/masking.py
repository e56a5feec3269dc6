"""Masks tokens for masked language modelling (BERT, Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

import torch


def mask_tokens(
    tokens_BT: torch.Tensor,  # noqa: N803
    maskable_BT: torch.Tensor,  # noqa: N803
    probability: float,
    mask_token: int,
    vocabulary: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(inputs, targets), both (B, T): of the chosen tokens 80% are masked, 10% random, 10% kept; -1 elsewhere."""
    draw = torch.rand(tokens_BT.shape, device=tokens_BT.device)
    chosen = (draw < probability) & maskable_BT
    targets = tokens_BT.masked_fill(~chosen, -1)
    share = draw / probability
    inputs = tokens_BT.masked_fill(chosen & (share < 0.8), mask_token)
    noise = torch.randint_like(tokens_BT, vocabulary)
    return torch.where(chosen & (share >= 0.8) & (share < 0.9), noise, inputs), targets
