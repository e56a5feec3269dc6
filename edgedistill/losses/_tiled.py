"""Losses over a vocabulary from hidden states and the output head, tile by tile, without materialising all logits.

Each tile of decisions runs forward through head and loss and back at once, so that only the gradients of the states and
the head are kept for the backward pass, instead of several (decisions x vocabulary) tensors. This follows fused linear
cross-entropy (Hsu et al. 2024, "Liger Kernel: efficient Triton kernels for LLM training", section 3.2; Wijmans et al.
2024, "Cut your losses in large-vocabulary language models"), here for any loss that is a mean over decisions, in plain
PyTorch. Shapes: R decisions, H hidden size, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.autograd.function import FunctionCtx, once_differentiable

from edgedistill.contracts.distribution import capped

if TYPE_CHECKING:
    from edgedistill.contracts.distribution import HiddenAndHead

LossOfLogits = Callable[[torch.Tensor, slice], torch.Tensor]
"""(logits (r, V) of some of a tile's decisions, their indices in the tile) -> (r,) the loss of each. The student's
gradient flows only through the logits."""
LossOfTile = Callable[[slice], LossOfLogits]
"""(decisions of a tile) -> their loss, so that the teacher's head is applied once per tile."""


@dataclass(frozen=True)
class Sizes:
    """How large tiles are.

    Args:
        rows: decisions per pass through the head; every pass reads and writes the head's whole gradient.
        numbers: logits per pass through the head, if these are more.
        loss_numbers: logits per pass through the loss, which holds several tensors of that size in full precision.
    """

    rows: int
    numbers: int
    loss_numbers: int

    def head_rows(self, vocabulary: int) -> int:
        """Decisions of one pass through the head."""
        return max(self.rows, self.numbers // vocabulary)

    def loss_rows(self, vocabulary: int) -> int:
        """Decisions of one pass through the loss."""
        return max(1, self.loss_numbers // vocabulary)


_SIZES = {"cpu": Sizes(rows=256, numbers=0, loss_numbers=1 << 22)}
"""On a CPU 16 MB in the loss, which the allocator reuses for the next tile (glibc returns blocks from 32 MB to the
system) and which partly stay in the CPU cache."""
_SIZES_ELSEWHERE = Sizes(rows=256, numbers=1 << 27, loss_numbers=1 << 25)
"""A GPU wants operations that take longer than launching them: tens of millions of numbers."""


def sizes_on(device: str) -> Sizes:
    """The sizes of tiles on a type of device."""
    return _SIZES.get(device, _SIZES_ELSEWHERE)


def tiled_mean(student: HiddenAndHead, loss_of: LossOfTile, weights_R: torch.Tensor | None) -> torch.Tensor:  # noqa: N803
    """The mean of a loss over the decisions, or its weighted mean; zero if all weights are zero.

    Its gradient flows to the states and the head's weights and bias, and can be taken only once.
    """
    count = len(student)
    if weights_R is None:
        shares = torch.full((count,), 1 / max(count, 1), device=student.hidden_RH.device)
    else:
        shares = weights_R.float() / weights_R.float().sum().clamp(min=1e-8)
    learning = torch.is_grad_enabled()
    found: torch.Tensor = _TiledMean.apply(
        student.hidden_RH, student.weight_CH, student.bias_C, shares, _of_capped(loss_of, student.cap), learning
    )
    return found


def _of_capped(loss_of: LossOfTile, cap: float | None) -> LossOfTile:
    """A loss of a head's own output, bounded as the logits are."""
    if cap is None:
        return loss_of

    def of_tile(tile: slice) -> LossOfLogits:
        loss = loss_of(tile)
        return lambda logits, some: loss(capped(logits, cap), some)

    return of_tile


class _TiledMean(torch.autograd.Function):
    """Computes the gradients in the forward pass, and scales them in the backward pass."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden_RH: torch.Tensor,  # noqa: N803
        weight_VH: torch.Tensor,  # noqa: N803
        bias_V: torch.Tensor | None,  # noqa: N803
        shares_R: torch.Tensor,  # noqa: N803
        loss_of: LossOfTile,
        learning: bool,
    ) -> torch.Tensor:
        tiles = _Tiles(hidden_RH, weight_VH, bias_V, learning)
        total = torch.zeros((), dtype=torch.float32, device=hidden_RH.device)
        for first in range(0, len(hidden_RH), tiles.rows):
            total += tiles.through(slice(first, min(first + tiles.rows, len(hidden_RH))), shares_R, loss_of)
        ctx.save_for_backward(tiles.hidden_gradient, tiles.weight_gradient, tiles.bias_gradient)  # type: ignore[arg-type]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scaled = [None if tensor is None else tensor.mul_(gradient) for tensor in ctx.saved_tensors]  # type: ignore[attr-defined]
        return (*scaled, None, None, None)


class _Tiles:
    """The head, a buffer for one tile's logits that is overwritten by their gradient, and the gradients so far."""

    def __init__(self, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, learning: bool) -> None:
        device = hidden.device
        autocast = torch.is_autocast_enabled(device.type)
        dtype = torch.get_autocast_dtype(device.type) if autocast else weight.dtype
        self.hidden, self.weight = hidden.to(dtype), weight.to(dtype)
        self.bias = None if bias is None else bias.to(dtype)
        self.sizes = sizes_on(device.type)
        self.rows = self.sizes.head_rows(len(weight))
        self.buffer = torch.empty(min(self.rows, len(hidden)), len(weight), dtype=dtype, device=device)
        self.learning = learning
        self.hidden_gradient = torch.empty_like(hidden) if learning else None
        self.weight_gradient = torch.zeros_like(weight) if learning else None
        self.bias_gradient = torch.zeros_like(bias) if learning and bias is not None else None

    def through(self, part: slice, shares: torch.Tensor, loss_of: LossOfTile) -> torch.Tensor:
        """The weighted loss of one tile of decisions, accumulating its gradient."""
        hidden = self.hidden[part]
        logits = self.buffer[: len(hidden)]
        torch.mm(hidden, self.weight.T, out=logits)
        if self.bias is not None:
            logits += self.bias
        total = torch.zeros((), dtype=torch.float32, device=logits.device)
        loss, own = loss_of(part), shares[part]
        step = self.sizes.loss_rows(logits.shape[1])
        for first in range(0, len(hidden), step):
            total += self._loss(logits, slice(first, first + step), own, loss)
        if self.learning:
            self._add(part, hidden, logits)
        return total

    def _loss(self, logits: torch.Tensor, some: slice, shares: torch.Tensor, loss: LossOfLogits) -> torch.Tensor:
        """The loss of some of a tile's decisions; the gradient overwrites the logits."""
        if not self.learning:
            return (loss(logits[some], some) * shares[some]).sum().float()
        with torch.enable_grad():
            leaf = logits[some].detach().requires_grad_()
            value = (loss(leaf, some) * shares[some]).sum()
            (gradient,) = torch.autograd.grad(value, leaf)
        logits[some] = gradient
        return value.detach().float()

    def _add(self, part: slice, hidden: torch.Tensor, gradient: torch.Tensor) -> None:
        assert self.hidden_gradient is not None
        assert self.weight_gradient is not None
        self.hidden_gradient[part] = gradient @ self.weight
        if self.weight_gradient.dtype == gradient.dtype:
            self.weight_gradient.addmm_(gradient.T, hidden)
        else:
            self.weight_gradient += gradient.T @ hidden
        if self.bias_gradient is not None:
            self.bias_gradient += gradient.sum(0)
