"""Rounds a product's weights so that its *output* changes little on real inputs: GPTQ (Frantar et al. 2022, "GPTQ:
Accurate Post-Training Quantization for Generative Pre-trained Transformers", algorithm 1).

Inputs are rounded one after the other, and what a rounding changes in the outputs is made up for by the weights of the
inputs that are still to come. Blocks take their scale and zero point when their turn comes, as `block_rounding` chooses
them.
"""

from __future__ import annotations

import torch

from edgedistill.models.block_rounding import Rounded, in_blocks, round_blocks

_DAMPING = 0.01
"""Of the mean of the Gram matrix's diagonal, as in the paper: inputs that depend on each other leave it singular."""


def round_for_inputs(weights: torch.Tensor, gram: torch.Tensor, bits: int, size: int) -> Rounded:
    """Rounded weights in blocks of inputs.

    Args:
        weights: (N, K) outputs, inputs.
        gram: (K, K) sum over real inputs x of x xᵀ.
        bits: 2 or 4.
        size: inputs that share a scale.
    """
    count = weights.shape[1]
    left = weights.double().clone()
    following = _following(gram.double())
    made: list[Rounded] = []
    for first in range(0, count, size):
        last = min(first + size, count)
        block = round_blocks(in_blocks(left[:, first:last].float(), size), bits)
        scale, zero = block.scale[:, 0, 0].double(), block.zero[:, 0, 0].double()
        levels = block.zero.expand_as(block.levels).clone()  # of the inputs that fill the last block
        errors = torch.zeros_like(left[:, first:last])
        for column in range(first, last):
            level = (left[:, column] / scale + zero).add(0.5).floor().clamp(0, 2**bits - 1)
            levels[:, 0, column - first] = level.float()
            error = (left[:, column] - (level - zero) * scale) / following[column, column]
            left[:, column + 1 : last] -= error[:, None] * following[column, column + 1 : last]
            errors[:, column - first] = error
        left[:, last:] -= errors @ following[first:last, last:]  # all at once, which is faster (section 4.2)
        made.append(Rounded(levels, block.scale, block.zero))
    return Rounded(*(torch.cat(parts, dim=1) for parts in zip(*made, strict=True)))


def _following(gram: torch.Tensor) -> torch.Tensor:
    """(K, K) upper Cholesky factor of the inverse: row k says how later inputs make up for input k."""
    damped = gram.clone()
    diagonal = damped.diagonal()
    diagonal += torch.where(diagonal == 0, 1, 0)  # an input that is never seen
    diagonal += _DAMPING * gram.diagonal().mean()
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)
