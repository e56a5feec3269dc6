"""Copies weights between models of one architecture with different depths."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgedistill.contracts.model_layers import layer_list
from edgedistill.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def evenly(count: int, layers: int) -> list[int]:
    """`count` of `layers` layers, evenly spaced and always including the last (Patient KD "skip", Sun et al. 2019).

    Raises:
        UserError: more layers requested than there are.
    """
    if count > layers:
        raise UserError(f"layers: got {count}, expected at most the source's {layers} layers")
    return [round((i + 1) * layers / count) - 1 for i in range(count)]


def source_name(name: str, layers: str, kept: Sequence[int]) -> str:
    """The source's parameter for the student's parameter `name`, if layer j is the source's kept[j]."""
    match = re.match(rf"^{re.escape(layers)}\.(\d+)\.(.*)$", name)
    return f"{layers}.{kept[int(match[1])]}.{match[2]}" if match else name


def copy_layers(source: PreTrainedModel, student: PreTrainedModel, kept: Sequence[int]) -> None:
    """Fill `student` with `source`'s weights, its layer j from the source's layer `kept[j]`.

    Raises:
        UserError: a weight that the source lacks, or whose shape differs by more than depth.
    """
    layers = layer_list(source)
    weights, depth = source.state_dict(), source.config.num_hidden_layers
    chosen: dict[str, torch.Tensor] = {}
    for name, target in student.state_dict().items():
        value = weights.get(source_name(name, layers, kept))
        if value is not None and value.shape != target.shape:
            value = _kept_columns(value, kept, depth)
        if value is None or value.shape != target.shape:
            raise UserError(
                f"init: keep_layers cannot fill '{name}' of a '{source.config.model_type}' from its source; "
                "use init: scratch for this architecture"
            )
        chosen[name] = value
    student.load_state_dict(chosen)


def _kept_columns(value: torch.Tensor, kept: Sequence[int], depth: int) -> torch.Tensor:
    """For a weight over all layers (the contact head of ESM), the columns of the kept ones."""
    if not value.ndim or value.shape[-1] % depth:
        return value
    by_layer = value.unflatten(-1, (depth, -1))
    return by_layer[..., list(kept), :].flatten(-2)
