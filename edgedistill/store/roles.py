"""The inputs of a step are the fields of a frozen dataclass: an artifact, an optional artifact, a tuple or mapping of
them, or a dataclass of these. This module names them for the manifest, and replaces planned artifacts with finished
ones.

A role is named after its field, with the index or key in brackets (`teachers[r1]`), and a dot before a field of a
nested dataclass (`data.splits[test]`).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, TypeVar, cast

from edgedistill.store.artifacts import Published
from edgedistill.store.handle import Artifact
from edgedistill.store.records.base import Record

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

I = TypeVar("I", bound="DataclassInstance")  # noqa: E741 - inputs
Made = Callable[[Artifact[Record]], Published | None]


def named(inputs: DataclassInstance) -> dict[str, Artifact[Record]]:
    """Every artifact among the inputs, by its role."""
    return dict(_named(inputs, ""))


def _named(value: object, role: str) -> Iterator[tuple[str, Artifact[Record]]]:
    if isinstance(value, Artifact):
        yield role, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _named(part, f"{role}[{_text(key)}]")
    elif isinstance(value, tuple):
        for position, part in enumerate(value):
            yield from _named(part, f"{role}[{position}]")
    elif is_dataclass(value):
        for field in fields(value):
            yield from _named(getattr(value, field.name), f"{role}.{field.name}" if role else field.name)
    elif value is not None:
        raise TypeError(f"the input '{role}' is {value!r}, not an artifact")


def _text(key: object) -> str:
    return ",".join(_text(part) for part in key) if isinstance(key, tuple) else str(key)


def resolved(inputs: I, made: Made) -> I:
    """The same inputs with finished artifacts; those not in `made` stay planned."""
    return cast(I, _resolved(inputs, made))


def _resolved(value: object, made: Made) -> object:
    if isinstance(value, Artifact):
        published = made(value)
        return value if published is None else value.at(published)
    if isinstance(value, Mapping):
        return {key: _resolved(part, made) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_resolved(part, made) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _resolved(getattr(value, field.name), made) for field in fields(value)})
    return value


def restored(kind: type[I], roles: Mapping[str, Published]) -> I:
    """The inputs of a finished step, from the roles in its manifest: the inverse of `named`.

    Raises:
        ValueError: an unknown or missing role.
    """
    left = dict(roles)
    inputs = cast(I, _restored(kind, "", left))
    if left:
        raise ValueError(f"{kind.__name__} has no role '{next(iter(left))}'")
    return inputs


def _restored(hint: object, role: str, left: dict[str, Published]) -> object:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Artifact:
        if role not in left:
            raise ValueError(f"no artifact for the role '{role}'")
        made = left.pop(role)
        return Artifact(made.manifest.step, made.manifest.key, parts[0], made)
    if origin in (typing.Union, types.UnionType):
        (own,) = (part for part in parts if part is not types.NoneType)
        return _restored(own, role, left) if any(_below(name, role) for name in left) else None
    if origin is tuple:
        return tuple(_restored(parts[0], f"{role}[{key}]", left) for key in _keys(role, left))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {_key(parts[0], key): _restored(parts[1], f"{role}[{key}]", left) for key in _keys(role, left)}
    if isinstance(hint, type) and is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        names = {field.name: f"{role}.{field.name}" if role else field.name for field in fields(hint)}
        return hint(**{name: _restored(hints[name], below, left) for name, below in names.items()})
    raise TypeError(f"the input '{role}' is of type {hint!r}, which no manifest can name")


def _below(name: str, role: str) -> bool:
    return name == role or name.startswith((f"{role}[", f"{role}."))


def _keys(role: str, left: Mapping[str, Published]) -> list[str]:
    """The contents of the brackets after a role, in order."""
    behind = [name.removeprefix(f"{role}[").split("]")[0] for name in left if name.startswith(f"{role}[")]
    return list(dict.fromkeys(behind))


def _key(hint: object, text: str) -> object:
    """A key parsed from text: a string, or a named tuple of strings."""
    return _parsed(hint, text.split(",")) if isinstance(hint, type) and issubclass(hint, tuple) else text


def _parsed(hint: type, parts: list[str]) -> object:
    values: list[object] = []
    for own in typing.get_type_hints(hint).values():
        nested = isinstance(own, type) and issubclass(own, tuple)
        values.append(_parsed(own, parts) if nested else parts.pop(0))
    made: object = hint(*values)
    return made
