"""Reads jsonl, json and csv files row by row and literally: types are not guessed, and anything that is not UTF-8, JSON
or csv is reported with its row.

csv cells are text. Blank lines are skipped in jsonl and csv. `.json` and `.jsonl` are treated alike: a file that begins
with `[` is one array of objects, any other has one object per line.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgedistill.data.row_problems import RowProblems, listed
from edgedistill.errors import UserError, shown

MAX_CHARACTERS = 1_000_000
"""Maximum length of one text: hundreds of pages. A tokenizer needs seconds and a hundred times the memory for it."""
_MAX_LINE = 64 << 20  # bytes: fits a text of MAX_CHARACTERS with every character escaped, and more
_BLANK = b" \t\r\n"
_ESCAPED = re.compile("[\udc80-\udcff]")

Row = Mapping[str, object]


class _WrongError(Exception):
    """What is wrong with one row or line."""


@dataclass(frozen=True)
class Place:
    """A row's position: its number and its line in the file."""

    row: int
    line: int

    def __str__(self) -> str:
        return str(self.row) if self.row == self.line else f"{self.row} (line {self.line})"


def file_rows(path: Path, columns: Collection[str], problems: RowProblems) -> Iterator[tuple[Place, Row]]:
    """The rows of a file with their positions; rows with problems are left out, and the problems added.

    Args:
        columns: the columns to read.

    Raises:
        UserError: a csv header with one of them twice.
    """
    with path.open("rb") as stream:
        if path.suffix == ".csv":
            yield from _csv(stream, columns, problems)
        elif _begins_with_bracket(stream):
            yield from _array(stream.read(), problems)
        else:
            yield from _lines_of_json(stream, problems)


def _begins_with_bracket(stream: BinaryIO) -> bool:
    """Whether the content begins with `[`; afterwards the stream is at its start (after a byte order mark)."""
    start = len(codecs.BOM_UTF8) if stream.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0
    stream.seek(start)
    first = b" "
    while first and first in _BLANK:
        first = stream.read(1)
    stream.seek(start)
    return first == b"["


def _lines_of_json(stream: BinaryIO, problems: RowProblems) -> Iterator[tuple[Place, Row]]:
    row = 0
    for line, content in _lines(stream):
        if not content.strip():
            continue
        row += 1
        place = Place(row, line)
        try:
            yield place, _object(_decoded(content).strip())
        except _WrongError as error:
            problems.add(str(place), str(error))


def _array(content: bytes, problems: RowProblems) -> Iterator[tuple[Place, Row]]:
    """One array of objects, parsed one by one: the text is held in memory, but not all objects."""
    text = content.decode("utf-8", "surrogateescape")
    del content
    row, position = 0, text.index("[") + 1
    while True:
        position = _skip(text, position)
        if text[position : position + 1] == "]" and row == 0:
            break
        row += 1
        try:
            value, end = _raw_decode(text, position)
            _refuse_escaped(text, position, end)
        except _WrongError as error:
            problems.add(row, str(error))
            return
        if isinstance(value, dict):
            yield Place(row, row), value
        else:
            problems.add(row, f"got {type(value).__name__}, expected an object")
        position = _skip(text, end)
        following = text[position : position + 1]
        if following == "]":
            break
        if following != ",":
            problems.add(row + 1, f"is not JSON (expected ',' or ']', got {text[position : position + 40]!r})")
            return
        position += 1
    if text[position + 1 :].strip():
        problems.add(row + 1, "comes after the end of the array")


def _skip(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position


def _refuse_escaped(text: str, start: int, end: int) -> None:
    """Invalid UTF-8 was kept as unpaired surrogates (`surrogateescape`)."""
    part = text[start:end]
    if not part.isascii() and _ESCAPED.search(part):
        raise _WrongError("is not UTF-8")


def _csv(stream: BinaryIO, columns: Collection[str], problems: RowProblems) -> Iterator[tuple[Place, Row]]:
    csv.field_size_limit(max(csv.field_size_limit(), 4 * MAX_CHARACTERS))
    reader = csv.reader((_decoded(content) for _, content in _lines(stream, bom=True)), strict=True)
    row, line = 0, 1
    try:
        header = next(reader, [])
        twice = [name for name, count in Counter(header).items() if count > 1 and name in columns]
        if twice:
            raise UserError(f"{problems.name}: the header has {listed(twice)} more than once")
        line = reader.line_num
        for cells in reader:
            place, line = Place(row + 1, line + 1), reader.line_num
            if not cells:
                continue
            row += 1
            if len(cells) == len(header):
                yield place, dict(zip(header, cells, strict=True))
            else:
                problems.add(str(place), f"has {len(cells)} cells, the header has {len(header)}")
    except csv.Error as error:
        reason = str(error)
        if "field larger" in reason:
            reason = f"a cell has more than {MAX_CHARACTERS:,} characters, or a quotation mark is never closed"
        elif "new-line character" in reason:
            reason = "a carriage return outside quotation marks; expected lines that end in \\n or \\r\\n"
        problems.add(str(Place(row + 1, line + 1)), f"is not csv: {reason}")
    except _WrongError as error:
        problems.add(str(Place(row + 1, reader.line_num + 1)), str(error))


def _lines(stream: BinaryIO, bom: bool = False) -> Iterator[tuple[int, bytes]]:
    """Line numbers and lines; one that is too long ends the reading with a problem."""
    line = 0
    while content := stream.readline(_MAX_LINE):
        line += 1
        if bom and line == 1:
            content = content.removeprefix(codecs.BOM_UTF8)
        yield line, content
        if len(content) == _MAX_LINE and not content.endswith(b"\n"):
            return


def _decoded(content: bytes) -> str:
    """The text of a line.

    Raises:
        _WrongError: it is not UTF-8 text.
    """
    if len(content) == _MAX_LINE and not content.endswith(b"\n"):
        raise _WrongError(f"the line is longer than {_MAX_LINE >> 20} MB, far beyond the limit for a text")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _WrongError("is UTF-16, expected UTF-8")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        wrong = content[error.start]
        raise _WrongError(f"is not UTF-8 (byte 0x{wrong:02x} at position {error.start}), expected UTF-8") from None
    if "\0" in text:
        raise _WrongError("has a NUL character (is it UTF-16?), expected UTF-8 text")
    return text


def _object(text: str) -> Row:
    try:
        value, end = _raw_decode(text, 0)
    except _WrongError as error:
        raise _WrongError(f"{error}: {text[:60]}") from None
    if text[end:].strip():
        raise _WrongError(f"is not JSON (text after the end of the value): {text[:60]}")
    if not isinstance(value, dict):
        raise _WrongError(f"got {type(value).__name__}, expected an object")
    return value


def _raw_decode(text: str, position: int) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except RecursionError:
        raise _WrongError("is nested too deeply") from None
    except ValueError as error:
        raise _WrongError(f"is not JSON ({error})") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {shown(next(key for key in keys if keys.count(key) > 1))} is given twice")
    return content


_DECODER = json.JSONDecoder(object_pairs_hook=_once)
