"""What a plan knows of a model that does not exist yet."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.contracts.model_shape import ModelShape


@dataclass(frozen=True)
class PlannedModel:
    """What a plan knows of a model that does not exist yet; None: nothing.

    Args:
        architecture: model type in `config.json` (`bert`).
        shape: only if all layers are alike.
    """

    architecture: str | None = None
    shape: ModelShape | None = None
