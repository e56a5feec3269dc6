"""Strict parsing of untrusted JSON, leaving no ambiguity between parsers. Standard library only."""

from __future__ import annotations

import json
import math
from pathlib import Path

from edgedistill.errors import UserError

LARGEST_FILE = 256 * 2**20
"""Maximum size in bytes, far above any real bundle's JSON."""
_LARGEST_NUMBER = 2**63 - 1
_SHOWN = 200


def read_object(file: Path) -> dict[str, object]:
    """The object in a file.

    Raises:
        UserError: it is not an object, or as for `read_value`.
    """
    content = read_value(file)
    if not isinstance(content, dict):
        raise UserError(f"{file}: contains {_kind(content)}, expected an object")
    return content


def read_value(file: Path) -> object:
    """The value in a UTF-8 file.

    Raises:
        UserError: it is missing, too large or nested too deeply, or contains a duplicate name, a number that is not
            finite (`NaN`, `1e999`) or larger than 64 bits, or an unpaired surrogate.
    """
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it is larger than {LARGEST_FILE} bytes")
        return parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror or type(error).__name__}") from None
    except ValueError as error:
        raise UserError(f"{file}: cannot be read: {' '.join(str(error).split())[:_SHOWN]}") from None


def parse(text: str) -> object:
    """The value in a text.

    Raises:
        ValueError: as for `read_value`, without the file's name.
    """
    try:
        content: object = json.loads(
            text, object_pairs_hook=_once, parse_constant=_refused, parse_float=_finite, parse_int=_integer
        )
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("a text contains an unpaired surrogate") from None
    return content


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:_SHOWN]!r} occurs twice")
    return content


def _refused(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"the number {digits[:40]} is too large")
    return number


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > _LARGEST_NUMBER:
        raise ValueError(f"the number {digits[:40]} is too large")
    return int(digits)


def _kind(value: object) -> str:
    return {list: "a list", str: "a text", type(None): "null", bool: "a boolean"}.get(type(value), "a number")
