"""What edgedistill tells while it works: the logger `edgedistill`, and how people read it.

An application routes, raises or silences it as any other library's. Where nobody has configured logging, what takes
long shows its progress on stderr, as `logging.info` would show a line.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

LOGGER = logging.getLogger("edgedistill")


class Lines(logging.StreamHandler[TextIO]):
    """Lines for people on a stream, above a bar where there is one.

    A record's attribute `line`, if it has one, is how it is shown: indented below the step that it is about.
    """

    console: Console | None = None
    """The bar's."""

    @property
    def on_terminal(self) -> bool:
        """Whether there may be a bar."""
        return self.stream.isatty() and os.environ.get("TERM") != "dumb"

    def format(self, record: logging.LogRecord) -> str:
        """Warnings and errors say what they are."""
        text = super().format(record)
        name = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return str(getattr(record, "line", name + text))

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        if self.console is None:
            super().emit(record)
        else:
            self.console.print(self.format(record), highlight=False, markup=False)


def show() -> None:
    """Show everything from INFO up on stderr, and nowhere else."""
    if sys.stderr is None:
        return
    if (former := shown()) is not None:
        LOGGER.removeHandler(former)
    LOGGER.addHandler(Lines(sys.stderr))
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def show_unless_configured() -> None:
    """`show`, unless this logger has a level, or it or the root has a handler."""
    if LOGGER.level == logging.NOTSET and not LOGGER.hasHandlers():
        show()


def shown() -> Lines | None:
    """Where `show` shows it; None where it doesn't."""
    return next((handler for handler in LOGGER.handlers if isinstance(handler, Lines)), None)
