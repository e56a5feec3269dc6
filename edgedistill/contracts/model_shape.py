"""The description of a model's size that plans, losses and student initialisations use. Light to import."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.contracts.model_layout import LAYOUTS, Layout
from edgedistill.contracts.weights import Weights


@dataclass(frozen=True)
class ModelShape:
    """Sizes under the same names for every architecture; `model_sizes` reads them from a configuration or a model."""

    layers: int
    hidden_size: int
    heads: int = 1
    """1 for an architecture without attention; the divisor of `hidden_size` if layers differ."""
    vocabulary: int = 0
    """Rows of the token embeddings; 0 if there are none."""
    embedding_size: int = 0
    """Width of the token embeddings; differs from `hidden_size` if they are projected (ELECTRA)."""
    heads_by_layer: tuple[int, ...] = ()
    """Of a pruned model, with layers of different sizes."""
    neurons_by_layer: tuple[int, ...] = ()
    architecture: str = ""
    """The `model_type` of its `config.json`."""
    key_value_heads: int | None = None
    """Fewer than `heads` if heads share keys and values; None: equal."""
    intermediate_size: int | None = None
    """The feed-forward width; None if the architecture has no such setting, or defines it as a multiple of the hidden
    size."""
    positions: int | None = None
    """Maximum input length in tokens; None: unlimited."""
    parameters: int | None = None
    """Of the task's model, counting tied weights once; None if not counted."""
    estimated: bool = False
    """Whether `parameters` is an estimate, since the model depends on data that has not been read."""
    weights: Weights | None = None
    """Of an encoder with a known layout and a head; None for any other model, or if not counted."""

    def heads_at(self, layer: int) -> int:
        """Attention heads of a layer, counted from 0."""
        return self.heads_by_layer[layer] if self.heads_by_layer else self.heads

    def relation_width(self, layer: int) -> int:
        """Width of the queries (keys, values) of a layer, counted from 0."""
        return self.heads_at(layer) * self.hidden_size // self.heads

    @property
    def layout(self) -> Layout | None:
        """Names of its layers' weights; None for an unknown layout."""
        return LAYOUTS.get(self.architecture)
