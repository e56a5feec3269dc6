"""The base of everything a recipe says: typed, closed, frozen."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """A frozen part of a recipe: unknown keys, wrong types and numbers that aren't finite are refused.

    Its schema is built when it is first used, so that a recipe's unions of plug-ins are made when one is read, and a
    plug-in may import the recipe's types.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False, defer_build=True
    )
