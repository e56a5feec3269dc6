"""The base of all records, and how they are written and read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, JsonValue, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from edgedistill.spec import Spec

RECORD = "record.json"
_SCHEMA = "record"


class FileName(str):
    """Path of a file or folder in the artifact, which is checked to exist."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema())


class Record(Spec):
    """A step's return value: small facts, and the names of files with large ones."""

    SCHEMA: ClassVar[str]
    """Name and version (`trained-model/1`); the version is raised whenever fields are added, removed or change their
    meaning."""


R = TypeVar("R", bound=Record)


def plain(content: Mapping[str, object]) -> dict[str, JsonValue]:
    """Convert facts to JSON types for a record.

    Raises:
        ValueError, TypeError: a value that JSON cannot represent.
    """
    return TypeAdapter(dict[str, JsonValue]).validate_json(json.dumps(content, allow_nan=False))


def write(record: Record, folder: Path) -> None:
    """Write `record.json` into an artifact under construction."""
    content = {_SCHEMA: type(record).SCHEMA, **record.model_dump(mode="json", by_alias=True)}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (folder / RECORD).write_text(text, encoding="utf-8")


def read(kind: type[R], folder: Path) -> R | None:
    """The record in a folder; None if it is missing, or of another type or version."""
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.pop(_SCHEMA, None) != kind.SCHEMA:
            return None
        return kind.model_validate_json(json.dumps(content))
    except (OSError, ValueError, ValidationError, RecursionError):
        return None


def files_in(value: object) -> Iterator[FileName]:
    """Every file and folder that a record names."""
    if isinstance(value, FileName):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from files_in(getattr(value, name))
    elif is_dataclass(value):
        for field in fields(value):
            yield from files_in(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from files_in(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from files_in(part)
