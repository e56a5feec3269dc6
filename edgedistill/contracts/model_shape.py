"""The one description of a model's size: what plans, losses and student initialisations know of it. Light."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.contracts.model_layout import LAYOUTS, Layout


@dataclass(frozen=True)
class ModelShape:
    """Sizes by the same names for every architecture; `model_sizes` reads them off a configuration or a model."""

    layers: int
    hidden_size: int
    heads: int = 1
    """1 for an architecture without attention; what `hidden_size` is divided by where layers differ."""
    vocabulary: int = 0
    """Rows of the token embeddings; 0 where there are none."""
    embedding_size: int = 0
    """Width of the token embeddings, another than `hidden_size` where they are projected (ELECTRA)."""
    heads_by_layer: tuple[int, ...] = ()
    """Of a pruned model, whose layers differ in size."""
    neurons_by_layer: tuple[int, ...] = ()
    architecture: str = ""
    """The `model_type` of its `config.json`."""
    key_value_heads: int | None = None
    """Fewer than `heads` where several of them share keys and values; None: as many."""
    intermediate_size: int | None = None
    """The feed-forward width; None where the architecture has no such setting, or a multiple of the hidden size."""
    positions: int | None = None
    """Tokens of the longest input; None: any number."""
    parameters: int | None = None
    """Of the task's model, tied weights counted once; None where they weren't counted."""
    estimated: bool = False
    """Whether `parameters` isn't exact: the model follows from data that wasn't read yet."""

    def heads_at(self, layer: int) -> int:
        """Attention heads of a layer, counted from 0."""
        return self.heads_by_layer[layer] if self.heads_by_layer else self.heads

    def relation_width(self, layer: int) -> int:
        """Width of the queries (keys, values) of a layer, counted from 0."""
        return self.heads_at(layer) * self.hidden_size // self.heads

    @property
    def layout(self) -> Layout | None:
        """Where its layers keep their weights; None for an architecture whose layout isn't known."""
        return LAYOUTS.get(self.architecture)
