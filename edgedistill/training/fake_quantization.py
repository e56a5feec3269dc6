"""Trains a model in the arithmetic of its quantized file: weights, tables and the inputs of products are rounded in
every forward pass, and gradients go straight through the rounding (Bengio et al. 2013; Jacob et al. 2018, section 3).

The model itself is unchanged: its weights stay in fp32, with their usual names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from edgedistill.contracts.precision import Arithmetic, Grid
from edgedistill.errors import UserError
from edgedistill.models.block_rounding import best_steps, in_blocks, round_blocks
from edgedistill.training.one_token import FirstTokenReaders

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Grids = dict[nn.Module, Grid]
"""The grid of each layer's weights."""
_SEARCHED_EVERY = 16
"""Steps of training for which weights keep the distance of their levels, whose search takes longer than a small
product. It is searched again whenever the model is put in training or evaluation mode, as in each epoch."""


def on_grid(values: torch.Tensor, grid: Grid, among: torch.Tensor | None = None) -> torch.Tensor:
    """The nearest numbers of the grid, in fp32; the gradient is that of the values.

    Args:
        values: (..., N); (B, ..., N) if a scale is shared by an item, (outputs, inputs) if by a channel.
        among: what a scale is to cover, if not the values: the tensor that they are a part of, or a part of them.
    """
    with torch.no_grad():
        groups = _groups(values.float(), grid)
        if _searched(grid):
            nearest = round_blocks(groups, grid.bits).values
        else:
            scale, zero = _scale_and_zero(groups if among is None else _groups(among.float(), grid), grid)
            nearest = (_levels(groups, scale, zero, grid) - zero) * scale
        if _in_blocks(grid):
            nearest = nearest.flatten(-2)[..., : values.shape[-1]]
    return nearest + (values - values.detach())


@dataclass
class _Weights:
    """A layer's weights on a grid whose scales are searched."""

    layer: nn.Linear
    grid: Grid
    steps: torch.Tensor | None = None
    """As last searched."""
    age: int = 0
    """Changes of the weights since."""
    seen: torch.Tensor | None = None
    """The weights when they were last rounded; their versions don't tell, since fused optimizers leave them as they
    are."""
    nearest: torch.Tensor | None = None
    """What they were rounded to."""

    def __call__(self) -> torch.Tensor:
        """The nearest numbers, in fp32; the gradient is that of the weights."""
        weight = self.layer.weight
        with torch.no_grad():
            if self.nearest is None or self.seen is None or not torch.equal(self.seen, weight):
                self.nearest, self.seen = self._rounded(weight.float()), weight.clone()
        return self.nearest + (weight - weight.detach())

    def train(self, mode: bool = True) -> nn.Linear:
        """The layer's own, and search again."""
        self.steps = self.nearest = None
        return type(self.layer).train(self.layer, mode)

    def _rounded(self, exact: torch.Tensor) -> torch.Tensor:
        groups = _groups(exact, self.grid)
        self.age += 1
        if self.steps is None or self.age == _SEARCHED_EVERY:
            self.steps, self.age = best_steps(groups, self.grid.bits), 0
        return round_blocks(groups, self.grid.bits, self.steps).values.flatten(-2)[..., : exact.shape[-1]]


@contextmanager
def fake_quantized(model: PreTrainedModel, arithmetic: Arithmetic) -> Iterator[Grids]:
    """Temporarily compute as a file with this arithmetic; yields the layers that have computed so.

    Raises:
        UserError: a kind of layer whose arithmetic in a file is unknown.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Embedding)]
    other = next((module for module in model.modules() if _has_matrix(module) and module not in layers), None)
    if other is not None:
        kind = type(other).__name__
        raise UserError(f"'quantize' in a stage supports linear layers and tables, but the student has a {kind} layer")
    used: Grids = {}
    first = FirstTokenReaders()
    for layer in layers:
        if isinstance(layer, nn.Linear) and _searched(arithmetic.weights):
            weights = _Weights(layer, arithmetic.weights)
            layer.forward = partial(_product, layer, weights, arithmetic, used, first)  # type: ignore[method-assign]
            layer.train = weights.train  # type: ignore[method-assign]
        elif isinstance(layer, nn.Linear):
            nearest = partial(_nearest, layer, arithmetic.weights)
            layer.forward = partial(_product, layer, nearest, arithmetic, used, first)  # type: ignore[method-assign]
        else:
            layer.forward = partial(_lookup, layer, arithmetic, used)  # type: ignore[method-assign]
    by_item = arithmetic.inputs.shared_by == "item"
    try:
        with first.watching(model) if by_item else nullcontext():
            yield used
    finally:
        for layer in layers:
            del layer.forward
            layer.__dict__.pop("train", None)


def round_weights(model: PreTrainedModel, arithmetic: Arithmetic, run: Callable[[PreTrainedModel], object]) -> None:
    """Round the weights in place, so that the model is what its file will be; quantizing them again changes nothing.

    Args:
        run: any forward pass, which shows which weights its file rounds.
    """
    with fake_quantized(model, arithmetic) as used:
        run(model)
    with torch.no_grad():
        for layer, grid in used.items():
            layer.weight.copy_(on_grid(layer.weight, grid))  # type: ignore[arg-type,operator]


def _nearest(layer: nn.Linear, grid: Grid) -> torch.Tensor:
    """A layer's weights as they are now, on a grid."""
    return on_grid(layer.weight, grid)


def _product(
    layer: nn.Linear,
    weights: Callable[[], torch.Tensor],
    arithmetic: Arithmetic,
    used: Grids,
    first: FirstTokenReaders,
    inputs: torch.Tensor,
) -> torch.Tensor:
    # Without a bias, the exporter writes a plain product whatever the input.
    if inputs.ndim == 2 and layer.bias is not None and not arithmetic.vectors:
        return nn.functional.linear(inputs, layer.weight, layer.bias)
    used[layer] = arithmetic.weights
    among = inputs[:, :1] if layer in first else None
    return nn.functional.linear(on_grid(inputs, arithmetic.inputs, among), weights(), layer.bias)


def _lookup(layer: nn.Embedding, arithmetic: Arithmetic, used: Grids, ids: torch.Tensor) -> torch.Tensor:
    used[layer] = arithmetic.tables
    among = layer.weight if arithmetic.tables.shared_by == "tensor" else None
    return on_grid(type(layer).forward(layer, ids), arithmetic.tables, among)


def _has_matrix(module: nn.Module) -> bool:
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    return weight is not None and weight.ndim > 1


def _searched(grid: Grid) -> bool:
    """Whether scales are those of least squared error."""
    return _in_blocks(grid) and grid.ends == "range"


def _in_blocks(grid: Grid) -> bool:
    return isinstance(grid.shared_by, int)


def _groups(values: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The same, or (..., blocks, size) for a scale per block; zeros fill the last one."""
    return in_blocks(values, grid.shared_by) if isinstance(grid.shared_by, int) else values


def _scale_and_zero(groups: torch.Tensor, grid: Grid) -> tuple[torch.Tensor, torch.Tensor]:
    """The distance of two levels, and the level that is 0; both broadcast against the groups. Not for the range of a
    block, whose scale is searched."""
    axes = {"item": tuple(range(1, groups.ndim)), "tensor": tuple(range(groups.ndim))}.get(str(grid.shared_by), (-1,))
    low, high = groups.amin(axes, keepdim=True).clamp(max=0), groups.amax(axes, keepdim=True).clamp(min=0)
    half = 2 ** (grid.bits - 1)
    if grid.ends == "symmetric":
        scale = torch.maximum(-low, high) / (half - 1)
        return _not_zero(scale), torch.zeros_like(scale)
    if grid.ends == "lowest":
        scale = torch.where(high > -low, high, low) / -half
        return _not_zero(scale), torch.full_like(scale, half)
    scale = _not_zero((high - low) / (2 * half - 1))
    return scale, torch.round(-low / scale)


def _not_zero(scale: torch.Tensor) -> torch.Tensor:
    """Any scale suits numbers that are all 0."""
    return torch.where(scale == 0, 1, scale)


def _levels(groups: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, grid: Grid) -> torch.Tensor:
    """The nearest levels. ONNX Runtime multiplies blocks with the inverse scale and rounds halves up; elsewhere it
    divides and rounds halves to even."""
    half = 2 ** (grid.bits - 1)
    lowest, highest = (1 - half, half - 1) if grid.ends == "symmetric" else (0, 2 * half - 1)
    if _in_blocks(grid):
        return torch.floor(groups * (1 / scale) + zero + 0.5).clamp(lowest, highest)
    return (torch.round(groups / scale) + zero).clamp(lowest, highest)
