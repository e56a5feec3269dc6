"""Cuts a decoder to size, keeping the most important hidden dimensions, head groups and feed-forward neurons.

Importance is measured on real inputs, as in Minitron (Muralidharan et al. 2024, section 2.2): the mean magnitude of a
dimension of the normalised hidden states, the L2 norm of a head group's output, the mean magnitude of a neuron's
activation. Heads that share keys and values are kept or removed together, with all their dimensions, which rotary
embeddings rotate in pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgedistill.contracts.decoder_layout import DECODERS, Axis, DecoderLayout
from edgedistill.contracts.model_layers import layer_list
from edgedistill.contracts.student import S, StudentRequest
from edgedistill.students._copy import copy_layers, source_name
from edgedistill.students._decoder_shape import DecoderShape, shape_of_decoder, with_shape
from edgedistill.students._decoder_weights import axes_of
from edgedistill.students._probe import first_tokens, read, watched

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

_PROBE_TOKENS = 16_384


@dataclass(frozen=True)
class DecoderImportance:
    """Of every hidden dimension (H,), and by layer of every head group (G,) and neuron (I,)."""

    hidden: torch.Tensor
    groups: list[torch.Tensor]
    neurons: list[torch.Tensor]


@dataclass(frozen=True)
class Kept:
    """Sorted indices to keep: layers, hidden dimensions, and by kept layer head groups and neurons."""

    layers: list[int]
    hidden: torch.Tensor
    groups: list[torch.Tensor]
    neurons: list[torch.Tensor]


def cut_decoder(
    source: PreTrainedModel, request: StudentRequest[S], layers: Sequence[int], shape: DecoderShape
) -> PreTrainedModel:
    """A student of that shape with these layers of `source`; gives the same answers if nothing is cut.

    Raises:
        UserError: an unknown weight for the family.
    """
    before = shape_of_decoder(source.config)
    student = request.auto_class.from_config(with_shape(source.config, layers, shape)).eval()
    if replace(shape, layers=before.layers) == before:
        copy_layers(source, student, layers)
        return student
    kept = strongest(measure_importance(source, request), list(layers), shape)
    fill(student, source, kept)
    return student


def measure_importance(model: PreTrainedModel, request: StudentRequest[S]) -> DecoderImportance:
    """Over the real tokens of the first items of the probe."""
    import torch

    layout, shape, body = DECODERS[model.config.model_type], shape_of_decoder(model.config), layer_list(model)
    points = {
        f"{what}.{i}": model.get_submodule(f"{body}.{i}.{name}")
        for i in range(shape.layers)
        for what, name in (
            ("attention", layout.attention_in),
            ("feed_forward", layout.feed_forward_in),
            ("heads", layout.attention_out),
            ("neurons", layout.feed_forward_out),
        )
    }
    sums: dict[str, torch.Tensor] = {}
    mask = torch.empty(0)

    def see(name: str, given: torch.Tensor, _made: torch.Tensor) -> None:
        what = name.split(".")[0]
        values = given[mask].float()
        if what == "heads":
            values = values.unflatten(-1, (shape.key_value_heads, -1)).norm(dim=-1)
        key = "hidden" if what in ("attention", "feed_forward") else name
        magnitude = values.abs().sum(0)
        sums[key] = sums.get(key, torch.zeros_like(magnitude)) + magnitude

    with torch.no_grad(), watched(points, see):
        for batch in first_tokens(request.probe, _PROBE_TOKENS):
            mask = batch.mask_BT.bool()
            read(model, batch, request.read)
    return DecoderImportance(
        hidden=sums["hidden"],
        groups=[sums[f"heads.{i}"] for i in range(shape.layers)],
        neurons=[sums[f"neurons.{i}"] for i in range(shape.layers)],
    )


def strongest(importance: DecoderImportance, layers: list[int], shape: DecoderShape) -> Kept:
    """The indices to keep for a student of that shape."""
    return Kept(
        layers=layers,
        hidden=_top(importance.hidden, shape.hidden_size),
        groups=[_top(importance.groups[i], shape.key_value_heads) for i in layers],
        neurons=[_top(importance.neurons[i], shape.intermediate_size) for i in layers],
    )


def fill(student: PreTrainedModel, source: PreTrainedModel, kept: Kept) -> None:
    """Copy the kept rows and columns of the source's weights to the student.

    Raises:
        UserError: an unknown weight for the family.
    """
    import torch

    layout, before, layers = DECODERS[source.config.model_type], shape_of_decoder(source.config), layer_list(source)
    weights = source.state_dict()
    with torch.no_grad():
        for name, target in student.named_parameters():
            layer, axes = axes_of(name, student, layers, layout)
            value = weights[source_name(name, layers, kept.layers)]
            for position, axis in enumerate(axes):
                indices = _indices(axis, layer, kept, before)
                value = value if indices is None else value.index_select(position, indices)
            target.copy_(value)
    if layout.scaled_embeddings:
        _unscale(student, source, layout)


def _indices(axis: Axis, layer: int | None, kept: Kept, source: DecoderShape) -> torch.Tensor | None:
    """The indices to keep on an axis, or None for all."""
    import torch

    if axis == "hidden":
        return kept.hidden
    if layer is None or axis == "whole":
        return None
    if axis == "neurons":
        return kept.neurons[layer]

    def blocks(size: int) -> torch.Tensor:
        return (kept.groups[layer][:, None] * size + torch.arange(size)).flatten()

    query, key_value = blocks(source.group * source.head_size), blocks(source.head_size)
    if axis == "joined":
        width = source.heads * source.head_size
        shared = source.key_value_heads * source.head_size
        return torch.cat([query, width + key_value, width + shared + key_value])
    return query if axis == "query" else key_value


def _unscale(student: PreTrainedModel, source: PreTrainedModel, layout: DecoderLayout) -> None:
    """Compensate for a different hidden size in embeddings that are scaled by its square root.

    If the head is tied to them, the norm before it is scaled inversely.
    """
    import torch

    ratio = (source.config.hidden_size / student.config.hidden_size) ** 0.5
    if ratio == 1:
        return
    table = student.get_input_embeddings().weight
    with torch.no_grad():
        table.mul_(ratio)
        if getattr(student.get_output_embeddings(), "weight", None) is table:
            _scale(student.base_model.get_submodule(layout.final_norm), 1 / ratio, layout)


def _scale(norm: nn.Module, factor: float, layout: DecoderLayout) -> None:
    """Scale a norm's output without its bias."""
    weight: torch.Tensor = norm.weight  # type: ignore[assignment]  # a parameter
    weight.copy_((weight + layout.scale_from) * factor - layout.scale_from)


def _top(importance: torch.Tensor, count: int) -> torch.Tensor:
    """The indices of the `count` largest, in their original order."""
    return importance.topk(count).indices.sort().values
