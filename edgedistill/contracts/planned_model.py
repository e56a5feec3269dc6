"""What a plan knows of a model that isn't there yet."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.model_shape import ModelShape


@dataclass(frozen=True)
class PlannedModel:
    """What a plan knows of a model that isn't there yet; None: nothing.

    Args:
        architecture: as `config.json` names it (`bert`).
        shape: only where all layers are alike.
    """

    architecture: str | None = None
    shape: ModelShape | None = None
