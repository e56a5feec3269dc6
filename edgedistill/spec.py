"""Base class of all parts of a recipe: typed, closed, frozen; and marks for what a field refers to.

A mark is part of the field's type, `model: Annotated[str, ModelRef()]`, and applies to every string in its value.
`references` uses marks to find the paths, models, data, rounds and plug-ins a recipe names, and the content of keys.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=40)]
"""What a user calls a part of a recipe: also part of file names."""


class Spec(BaseModel):
    """A frozen part of a recipe; refuses unknown keys, wrong types and non-finite numbers.

    Its schema is built on first use, so that the unions of plug-ins are built when a recipe is read, and plug-ins can
    import the recipe's types.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False, defer_build=True
    )


def _whole(value: object) -> object:
    """Accept a whole number written as `30e6`."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, BeforeValidator(_whole)]
"""A large whole number, which may be written as `30e6`."""


@dataclass(frozen=True)
class NotInKey:
    """Does not affect what a step publishes (a time limit), or its effect is already in other settings."""


@dataclass(frozen=True)
class ModelRef:
    """A Hub id or a folder, represented in a key by its content."""

    revision: str | None = None
    """The sibling field with the Hub revision; None: `main`."""


@dataclass(frozen=True)
class RoundRef:
    """The id of a model of the recipe: `teacher`, or a round."""


@dataclass(frozen=True)
class LocalPath:
    """A local file or folder."""


@dataclass(frozen=True)
class PluginName:
    """The name of a plug-in; a key includes its version and, for a runtime, the versions of its libraries."""

    group: str


@dataclass(frozen=True)
class PrecisionName:
    """The name of a precision of the target in the sibling field `target`; a key includes its version."""


class UnionOfSpecs(ABC):
    """Marks a field whose type is a union of specs known only when a recipe is read."""

    @abstractmethod
    def specs(self) -> tuple[type[Spec], ...]:
        """All specs of the union."""


def marks_of(field: FieldInfo) -> tuple[object, ...]:
    """The marks in a field's type, including inside a union with None."""
    return tuple(field.metadata)


def may_name_rounds(spec: type[Spec]) -> bool:
    """Whether specs of this class have a field that names a model of the recipe."""
    return any(isinstance(mark, RoundRef) for field in spec.model_fields.values() for mark in marks_of(field))
