"""What losses may need of a model's size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSizes:
    """What a loss may need of a model's shape to build its projections or heads."""

    layers: int
    hidden_size: int
    heads: int = 1
    vocabulary: int = 0
    embedding_size: int = 0
    heads_by_layer: tuple[int, ...] = ()
    """Where layers differ in it; `heads` is what `hidden_size` is divided by, then."""

    def heads_at(self, layer: int) -> int:
        """Attention heads of a layer, counted from 0."""
        return self.heads_by_layer[layer] if self.heads_by_layer else self.heads

    def relation_width(self, layer: int) -> int:
        """Width of the queries (keys, values) of a layer, counted from 0."""
        return self.heads_at(layer) * self.hidden_size // self.heads


@dataclass(frozen=True)
class PlannedModel:
    """What a plan knows of a model that isn't there yet; None: nothing.

    Args:
        architecture: as `config.json` names it (`bert`).
        sizes: only where all layers are alike.
    """

    architecture: str | None = None
    sizes: ModelSizes | None = None
