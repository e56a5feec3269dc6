"""Rounds weights to a few bits in blocks that share a scale and a zero point, those of least squared error among some.

The range of a block, from its smallest to its largest number, is a poor scale: one outlier makes all others coarse. So
several scales are tried, finer ones that clip both ends and coarser ones; each is then fitted to the levels that it led
to by least squares, and the best is kept (range setting by mean squared error: Nagel et al. 2021, "A White Paper on
Neural Network Quantization", section 3.1; alternating levels and fitted scales: Xu et al. 2018, "Alternating Multi-bit
Quantization"). Files and training in their arithmetic both round here.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

STEPS = {2: (2, 3, 4, 5), 4: (14, 15, 16, 17, 19)}
"""By bits: distances of a block's ends in levels. More than there are levels clip half of the rest at each end; fewer
are there so that numbers which are rounded already stay as they are."""


class Rounded(NamedTuple):
    """Numbers are (levels - zero) * scale."""

    levels: torch.Tensor
    """(..., blocks, size): whole numbers from 0."""
    scale: torch.Tensor
    """(..., blocks, 1)."""
    zero: torch.Tensor
    """(..., blocks, 1): the level that is 0."""

    @property
    def values(self) -> torch.Tensor:
        """What is stored, in fp32."""
        return (self.levels - self.zero) * self.scale


def in_blocks(values: torch.Tensor, size: int) -> torch.Tensor:
    """(..., N) as (..., blocks, size); zeros fill the last block."""
    missing = -values.shape[-1] % size
    return torch.nn.functional.pad(values, (0, missing)).unflatten(-1, (-1, size))


def best_steps(groups: torch.Tensor, bits: int) -> torch.Tensor:
    """(..., blocks, 1) the distance of each block's ends in levels that rounds it with the least squared error.

    Args:
        groups: (..., blocks, size) in fp32.
    """
    best, least = None, None
    for tried in STEPS[bits]:
        steps = torch.full_like(groups[..., :1], tried)
        error = (groups - round_blocks(groups, bits, steps).values).square().sum(-1, keepdim=True)
        if best is None or least is None:
            best, least = steps, error
            continue
        best = torch.where(error < least, steps, best)
        least = torch.minimum(error, least)
    assert best is not None, "there are scales for these bits"
    return best


def round_blocks(groups: torch.Tensor, bits: int, steps: torch.Tensor | None = None) -> Rounded:
    """The blocks with these distances of their ends, or the best; scales are fitted to the levels that they lead to.

    Args:
        groups: (..., blocks, size) in fp32.
        steps: (..., blocks, 1), in levels.
    """
    steps = best_steps(groups, bits) if steps is None else steps
    top = 2**bits - 1
    low, high = groups.amin(-1, keepdim=True).clamp(max=0), groups.amax(-1, keepdim=True).clamp(min=0)
    scale = (high - low) / steps
    scale = torch.where(scale == 0, 1, scale)
    zero = torch.floor(-low / scale - (steps - top).clamp(min=0) / 2 + 0.5).clamp(0, top)
    levels = torch.floor(groups * (1 / scale) + zero + 0.5).clamp(0, top)
    distance = levels - zero
    power = distance.square().sum(-1, keepdim=True)
    fitted = (groups * distance).sum(-1, keepdim=True) / torch.where(power == 0, 1, power)
    # A block that is all zeros, or clipped to them, has any scale.
    return Rounded(levels, torch.where(fitted > 0, fitted, scale), zero)
