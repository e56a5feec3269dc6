"""Parses a JSON object: every field by name, type and range, refusing any others. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping

from edgedistill.errors import UserError

_HEX = re.compile(r"[0-9a-f]{64}")
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_NAME, _LONGEST_PART = 1000, 255
_SHOWN = 80


class Fields:
    """One object, called `where` in messages. Each method takes the field of that name and refuses unexpected values
    with a `UserError`; `end` refuses remaining fields."""

    def __init__(self, content: object, where: str) -> None:
        if not isinstance(content, dict):
            raise UserError(f"{where}: is {shown(content)}, expected an object")
        self._left: dict[str, object] = dict(content)
        self.where = where

    def take(self, name: str) -> object:
        """The field, whatever it is."""
        if name not in self._left:
            raise UserError(f"{self.where}: lacks '{name}'")
        return self._left.pop(name)

    def left(self) -> tuple[str, ...]:
        """The names of the remaining fields."""
        return tuple(self._left)

    def refuse(self, name: str, got: object, expected: str) -> UserError:
        """The error of a field."""
        return UserError(f"{self.where}: {name} is {shown(got)}, expected {expected}")

    def text(self, name: str) -> str:
        """A text."""
        if not isinstance(value := self.take(name), str):
            raise self.refuse(name, value, "a text")
        return value

    def word(self, name: str) -> str:
        """A non-empty text on one line."""
        value = self.text(name)
        if not value or not value.isprintable():
            raise self.refuse(name, value, "a text on one line")
        return value

    def boolean(self, name: str) -> bool:
        """true or false."""
        if not isinstance(value := self.take(name), bool):
            raise self.refuse(name, value, "true or false")
        return value

    def integer(self, name: str, least: int, most: int) -> int:
        """A whole number in that range, inclusive."""
        return self._integer(name, self.take(name), least, most)

    def integer_or_none(self, name: str, least: int, most: int) -> int | None:
        """The same, or null."""
        value = self.take(name)
        return None if value is None else self._integer(name, value, least, most)

    def number(self, name: str, least: float = float("-inf"), most: float = float("inf")) -> float:
        """A number in that range; `strict_json` only allows finite ones."""
        value = self.take(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.refuse(name, value, f"a number{_range(least, most)}")
        return float(value)

    def number_or_none(self, name: str, least: float = float("-inf"), most: float = float("inf")) -> float | None:
        """The same, or null."""
        if self._left.get(name, 0) is None:
            self.take(name)
            return None
        return self.number(name, least, most)

    def interval_or_none(self, name: str, least: float = float("-inf"), most: float = float("inf")) -> None:
        """A pair of numbers, the lower first, or null."""
        value = self.take(name)
        if value is None:
            return
        ends = value if isinstance(value, list) else []
        numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
        if len(ends) != 2 or len(numbers) != 2 or not least <= numbers[0] <= numbers[1] <= most:
            raise self.refuse(name, value, f"two numbers{_range(least, most)}, the lower first")

    def items(self, name: str) -> list[object]:
        """A list."""
        if not isinstance(value := self.take(name), list):
            raise self.refuse(name, value, "a list")
        return value

    def mapping(self, name: str) -> dict[str, object]:
        """An object with any names."""
        if not isinstance(value := self.take(name), dict):
            raise self.refuse(name, value, "an object")
        return value

    def fields(self, name: str) -> Fields:
        """An object whose fields are taken in turn."""
        return Fields(self.take(name), f"{self.where}: {name}")

    def hashes(self, name: str) -> Mapping[str, str]:
        """File names and their sha256."""
        found: dict[str, str] = {}
        for file, value in self.mapping(name).items():
            if (problem := name_problem(file)) is not None:
                raise UserError(f"{self.where}: {name} names {shown(file)}, {problem}")
            if not isinstance(value, str) or not _HEX.fullmatch(value):
                raise self.refuse(f"{name} of {file}", value, "a sha256 in hexadecimal")
            found[file] = value
        return found

    def end(self) -> None:
        """Refuse remaining fields."""
        if self._left:
            names = ", ".join(shown(name) for name in list(self._left)[:3])
            raise UserError(f"{self.where}: has {names}, which this version of edgedistill does not know")

    def _integer(self, name: str, value: object, least: int, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.refuse(name, value, f"a whole number from {least} to {most}")
        return value


def name_problem(name: str) -> str | None:
    """Why a file name is not valid inside a folder on every system, or None."""
    if not name or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        return "which is not a file name"
    if "\\" in name or _DRIVE.match(name) or ":" in name:
        return "expected a path with / as separator, without \\ or :"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(len(part.encode()) > _LONGEST_PART for part in parts):
        return "expected a path inside the folder, without .. or empty parts"
    return None


def shown(value: object) -> str:
    """A value for a message: on one line, shortened."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _range(least: float, most: float) -> str:
    if least == float("-inf"):
        return ""
    return f" of {least:g} or more" if most == float("inf") else f" from {least:g} to {most:g}"
