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
    layers = f"{layer_list(model)}."
    tables: list[Matrix] = []
    products: list[Matrix] = []
    head: list[Matrix] = []
    above = False
    for name, module in model.named_modules():
        above = above or name.startswith(layers)
        if isinstance(module, nn.Embedding):
            tables.append((module.num_embeddings, module.embedding_dim))
        elif isinstance(module, nn.Linear):
            once = above and not name.startswith(layers)
            (head if once else products).append((module.in_features, module.out_features))
    matrices = sum(rows * columns for rows, columns in (*tables, *products, *head))
    total = sum(parameter.numel() for parameter in model.parameters())
    indices = sum(buffer.numel() for name, buffer in model.named_buffers() if name.endswith(_INDICES))
    return Weights(config.num_hidden_layers, tuple(tables), tuple(products), tuple(head), total - matrices, indices)
