"""What a recipe or a step's settings refer to, found by walking the fields and the marks in their types.

Works on typed specs and on the plain tree of a recipe that has not been validated.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple, cast

from pydantic.fields import FieldInfo

from edgedistill.spec import ModelRef, RoundRef, Spec, UnionOfSpecs, marks_of

MAIN = "main"


class Model(NamedTuple):
    """A model from outside the run: a Hub id at a revision, or a folder."""

    name: str
    revision: str = MAIN


@dataclass(frozen=True)
class Node:
    """A value inside a spec or tree."""

    path: str
    """Dotted path in the recipe."""
    value: object
    marks: tuple[object, ...]
    """The marks of its field."""
    spec: object
    """The spec (or tree) with this field."""
    container: object
    """The direct container of the value, which may be a list or mapping in the field."""
    key: str | int

    def put(self, value: object) -> None:
        """Replace the value in the tree."""
        cast(dict[str | int, object], self.container)[self.key] = value


def walk(value: object, annotation: object = None, path: str = "") -> Iterator[Node]:
    """Every value in the fields of a spec, including nested specs, lists and mappings.

    Args:
        annotation: the type, for a tree that is not a spec yet.
    """
    if isinstance(value, Spec):
        for name, field in type(value).model_fields.items():
            known = field.alias or name
            yield from _below(value, value, name, getattr(value, name), None, marks_of(field), _join(path, known))
    elif isinstance(value, dict):
        for model in (candidate for candidate in models_in(annotation) if fits(candidate, value)):
            for name, field in model.model_fields.items():
                known = field.alias or name
                if known in value:
                    below = _below(
                        value, value, known, value[known], declared(field), marks_of(field), _join(path, known)
                    )
                    yield from below


def _below(
    spec: object,
    container: object,
    key: str | int,
    value: object,
    annotation: object,
    marks: tuple[object, ...],
    path: str,
) -> Iterator[Node]:
    yield Node(path, value, marks, spec, container, key)
    if isinstance(value, tuple | list):
        for position, part in enumerate(value):
            inside = item_of(annotation)
            yield from _below(spec, value, position, part, inside, marks, _join(path, str(position)))
    elif isinstance(value, Mapping) and not models_in(annotation):
        for name, part in value.items():
            yield from _below(spec, value, name, part, value_of(annotation), marks, _join(path, str(name)))
    else:
        yield from walk(value, annotation, path)


def models(spec: Spec) -> Iterator[tuple[str, Model]]:
    """The models that a spec names, each with its location."""
    for node in walk(spec):
        for mark in node.marks:
            if isinstance(mark, ModelRef) and isinstance(node.value, str):
                yield node.path, model_at(node.spec, node.value, mark)


def model_of(spec: Spec) -> Model | None:
    """The one model that a spec names, if it does."""
    return next((model for _, model in models(spec)), None)


def model_at(holder: object, name: str, mark: ModelRef) -> Model:
    """The model of that name, at the revision in the sibling field of `holder`."""
    return Model(name, str(getattr(holder, mark.revision)) if mark.revision is not None else MAIN)


def rounds(spec: Spec) -> Iterator[tuple[str, str]]:
    """The recipe's own models that a spec names, each with its location."""
    for node in walk(spec):
        if isinstance(node.value, str) and any(isinstance(mark, RoundRef) for mark in node.marks):
            yield node.path, node.value


def declared(field: FieldInfo) -> object:
    """A field's type including the mark of a plug-in union, which pydantic removes."""
    union = next((mark for mark in field.metadata if isinstance(mark, UnionOfSpecs)), None)
    return field.annotation if union is None else Annotated[field.annotation, union]


def models_in(annotation: object) -> list[type[Spec]]:
    """The possible specs of a type."""
    if isinstance(annotation, UnionOfSpecs):
        return list(annotation.specs())
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return [model for part in typing.get_args(annotation) for model in models_in(part)]
    return []


def item_of(annotation: object) -> object:
    """The type of the items of a list or tuple."""
    return _part(annotation, (tuple, list), 0)


def value_of(annotation: object) -> object:
    """The type of the values of a mapping."""
    import collections.abc

    return _part(annotation, (dict, Mapping, collections.abc.Mapping), 1)


def _part(annotation: object, origins: tuple[object, ...], position: int) -> object:
    for candidate in (annotation, *typing.get_args(annotation)):
        parts = typing.get_args(candidate)
        if typing.get_origin(candidate) in origins and len(parts) > position:
            return parts[position]
    return None


def fits(model: type[Spec], node: object) -> bool:
    """Whether a mapping is a `model`: its tag (`kind`, `init`) matches."""
    if not isinstance(node, dict):
        return True
    for name, field in model.model_fields.items():
        if name in ("kind", "init", "type"):
            return node.get(name) in typing.get_args(field.annotation)
    return True


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
