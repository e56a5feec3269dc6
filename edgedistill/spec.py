"""The base of everything a recipe says: typed, closed, frozen. And the marks that say what a field refers to.

A mark stands in the field's type, `model: Annotated[str, ModelRef()]`, and holds for every text in its value. One walk
(`references`) finds what a recipe names by them: paths, models, data, rounds, plug-ins, and the content of keys.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Spec(BaseModel):
    """A frozen part of a recipe: unknown keys, wrong types and numbers that aren't finite are refused.

    Its schema is built when it is first used, so that a recipe's unions of plug-ins are made when one is read, and a
    plug-in may import the recipe's types.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False, defer_build=True
    )


def _whole(value: object) -> object:
    """A whole number that is written as `30e6` is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, BeforeValidator(_whole)]
"""A large whole number, which may be written as `30e6`."""


@dataclass(frozen=True)
class NotInKey:
    """Changes nothing of what a step publishes (a time limit), or what it changes is said elsewhere in the settings."""


@dataclass(frozen=True)
class ModelRef:
    """A hub id or a folder. A key holds its content instead."""

    revision: str | None = None
    """The field beside it that names the hub's revision; None: `main`."""


@dataclass(frozen=True)
class RoundRef:
    """The id of a model of the recipe: `teacher`, or a round."""


@dataclass(frozen=True)
class LocalPath:
    """A file or folder of this machine."""


@dataclass(frozen=True)
class PluginName:
    """The name of a plug-in. A key holds its version too; of a runtime, the versions of what it runs."""

    group: str


@dataclass(frozen=True)
class PrecisionName:
    """The name of a precision of the target that the field `target` beside it names; a key holds its version too."""


class UnionOfSpecs(ABC):
    """Marks a field whose type is a union of specs that are known only when a recipe is read."""

    @abstractmethod
    def specs(self) -> tuple[type[Spec], ...]:
        """All of them."""
