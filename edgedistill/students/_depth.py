"""Selects the layers of a shallower student: evenly spaced, or by measured importance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgedistill.contracts.model_layers import layer_list
from edgedistill.contracts.student import S, StudentRequest
from edgedistill.errors import UserError
from edgedistill.students._copy import evenly
from edgedistill.students._probe import first_tokens, read, watched

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

Choose = Literal["evenly", "block_influence", "loss"]
"""`evenly`: evenly spaced, including the last. `block_influence`: those that change the hidden states most. `loss`:
those whose removal increases the task's loss most."""

# Size of the probe. The loss is measured once per layer.
_INFLUENCE_TOKENS, _LOSS_TOKENS = 16_384, 4096


def chosen_layers(model: PreTrainedModel, request: StudentRequest[S], count: int, choose: Choose) -> list[int]:
    """The indices of the `count` layers to keep, in order; ties go to earlier layers.

    Raises:
        UserError: more layers requested than there are; no labels for `loss`; layers that cannot be measured.
    """
    depth = model.config.num_hidden_layers
    if choose == "evenly" or count >= depth:
        return evenly(count, depth)
    importance = block_influence(model, request) if choose == "block_influence" else loss_without(model, request)
    return sorted(sorted(range(depth), key=lambda layer: -importance[layer])[:count])


def block_influence(model: PreTrainedModel, request: StudentRequest[S]) -> list[float]:
    """By layer, 1 - the mean cosine of a token's hidden state before it and after it (ShortGPT, Men et al. 2024,
    eq. 1)."""
    import torch

    modules = _layers(model)
    sums, tokens = dict.fromkeys(modules, 0.0), 0
    mask = torch.empty(0)

    def see(name: str, before: torch.Tensor, after: torch.Tensor) -> None:
        similarity = torch.nn.functional.cosine_similarity(before[mask].float(), after[mask].float(), dim=-1)
        sums[name] += float(similarity.double().sum())

    with torch.no_grad(), watched(modules, see):
        for batch in first_tokens(request.probe, _INFLUENCE_TOKENS):
            mask = batch.mask_BT.bool()
            tokens += int(mask.sum())
            read(model, batch, request.read)
    return [1 - total / tokens for total in sums.values()]


def loss_without(model: PreTrainedModel, request: StudentRequest[S]) -> list[float]:
    """By layer, the mean loss of the task when that layer is replaced by the identity.

    Raises:
        UserError: the task has no labels, or no item of the probe has one.
    """
    import torch

    if request.loss is None:
        raise UserError("student.choose: 'loss' needs a task with a loss on labels; use block_influence")
    batches = list(first_tokens(request.probe, _LOSS_TOKENS))
    known = sum(int(batch.known_R.sum()) for batch in batches)
    if not known:
        raise UserError("student.choose: 'loss' needs labelled training items, and there are none")
    found: list[float] = []
    with torch.no_grad():
        for layer in _layers(model).values():
            handle = layer.register_forward_hook(_passed)
            try:
                losses = [request.loss(model, batch)[batch.known_R].double().sum() for batch in batches]
            finally:
                handle.remove()
            found.append(float(torch.stack(losses).sum()) / known)
    return found


def _passed(_module: nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> object:
    """The output of an identity layer."""
    return (inputs[0], *output[1:]) if isinstance(output, tuple) else inputs[0]


def _layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    layers = layer_list(model)
    return {f"{layers}.{i}": model.get_submodule(f"{layers}.{i}") for i in range(model.config.num_hidden_layers)}
