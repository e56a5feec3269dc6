"""Collects problems of a file's rows, to report them at once with file and row."""

from __future__ import annotations

from collections.abc import Iterable

from edgedistill.errors import UserError

_SHOWN = 20
_SHOWN_CHARACTERS = 3500
_SENTENCE = 300
_NAME = 300


class RowProblems:
    """Problems of one file: the first are kept, all are counted."""

    def __init__(self, name: str) -> None:
        self.name = name if len(name) <= _NAME else f"...{name[-_NAME:]}"
        self._lines: list[str] = []
        self._characters = 0
        self._total = 0

    def add(self, row: str | int, sentence: str) -> None:
        """One problem; `row` is its number (the first is 1), with further position if known."""
        self._total += 1
        line = f"{self.name}: row {row}: {shortened(sentence, _SENTENCE)}"
        room = self._characters + len(line) <= _SHOWN_CHARACTERS and len(self._lines) < _SHOWN
        if room or not self._lines:
            self._lines.append(line)
            self._characters += len(line) + 1

    def refuse(self) -> None:
        """Report the problems.

        Raises:
            UserError: there are problems.
        """
        if not self._lines:
            return
        more = self._total - len(self._lines)
        raise UserError("\n".join([*self._lines, *([f"{self.name}: and {more} more rows"] if more else [])]))


def shortened(text: str, limit: int) -> str:
    """The text, truncated with an ellipsis if it is longer."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def listed(names: Iterable[str], limit: int = 20) -> str:
    """Names as a list for a message: the first ones, with long or unprintable names made readable.

    >>> listed(["text", "label", "id"], limit=2)
    'text, label, ...'
    """
    every = list(names)
    shown = [shortened(name if name.isprintable() else repr(name), 60) for name in every[:limit]]
    return ", ".join([*shown, *(["..."] if len(every) > limit else [])])
