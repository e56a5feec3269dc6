"""Counts the weights of an encoder with a head by how exported files store them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedistill.contracts.model_layers import layer_list
from edgedistill.contracts.model_layout import LAYOUTS
from edgedistill.contracts.weights import Matrix, Weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_INDICES = "position_ids"


def weights_of(model: PreTrainedModel) -> Weights | None:
    """None for an architecture without a known layout, or with layers of different sizes."""
    from torch import nn

    config = model.config
    if config.model_type not in LAYOUTS or getattr(config, "heads_by_layer", None):
        return None
    layers, layout = f"{layer_list(model)}.", LAYOUTS[config.model_type]
    attention = (*layout.attention_in, layout.attention_out)
    found: dict[str, list[Matrix]] = {"tables": [], "projections": [], "attention": [], "feed_forward": [], "head": []}
    above = False
    for name, module in model.named_modules():
        above = above or name.startswith(layers)
        if isinstance(module, nn.Embedding):
            found["tables"].append((module.num_embeddings, module.embedding_dim))
        elif isinstance(module, nn.Linear):
            own = name.removeprefix(layers).partition(".")[2] if name.startswith(layers) else None
            outside = "head" if above else "projections"
            part = outside if own is None else "attention" if own in attention else "feed_forward"
            found[part].append((module.in_features, module.out_features))
    matrices = sum(rows * columns for own in found.values() for rows, columns in own)
    total = sum(parameter.numel() for parameter in model.parameters())
    indices = sum(buffer.numel() for name, buffer in model.named_buffers() if name.endswith(_INDICES))
    return Weights(
        layers=config.num_hidden_layers,
        vectors=total - matrices,
        positions=indices,
        **{name: tuple(own) for name, own in found.items()},
    )
