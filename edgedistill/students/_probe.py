"""Measurements on a few training items: their tokens, and the values that pass through a module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from edgedistill.contracts.batch import Batch
from edgedistill.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

Read = Callable[["PreTrainedModel", Batch], None]


def first_tokens(probe: Sequence[Batch], tokens: int) -> Iterator[Batch]:
    """The first items with at least `tokens` real tokens in total, or all."""
    left = tokens
    for batch in probe:
        if left <= 0:
            return
        reached = batch.mask_BT.sum(1).cumsum(0) >= left
        items = int(reached.int().argmax()) + 1 if bool(reached.any()) else len(batch)
        left -= int(batch.mask_BT[:items].sum())
        decisions = batch.item_R < items
        yield replace(
            batch,
            inputs={name: value[:items] for name, value in batch.inputs.items()},
            targets={name: value[:items] for name, value in batch.targets.items()},
            mask_BT=batch.mask_BT[:items],
            item_R=batch.item_R[decisions],
            known_R=batch.known_R[decisions],
        )


def read(model: PreTrainedModel, batch: Batch, own: Read | None) -> None:
    """Run a batch through the model's layers, in the task's own way if given."""
    if own is not None:
        own(model, batch)
    else:
        model(**batch.inputs)


@contextmanager
def watched(modules: Mapping[str, nn.Module], see: Callable[[str, torch.Tensor, torch.Tensor], None]) -> Iterator[None]:
    """Within the context, call `see(name, input, output)` with each module's first input and its output.

    Raises:
        UserError: a module without a positional tensor input.
    """
    import torch

    def hook_of(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def hook(_module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            given, made = inputs[0] if inputs else None, output[0] if isinstance(output, tuple) else output
            if not isinstance(given, torch.Tensor) or not isinstance(made, torch.Tensor):
                raise UserError(f"'{name}' does not map one tensor to another, so its effect cannot be measured")
            see(name, given, made)

        return hook

    hooks = [module.register_forward_hook(hook_of(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
