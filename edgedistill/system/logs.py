"""Progress and warnings: the logger `edgedistill`, and how its records are shown.

An application routes, filters or silences it like any other library's logger. Unless logging is configured, long
operations show their progress on stderr.
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
    """Writes readable lines to a stream, above the progress bar if there is one.

    A record's attribute `line`, if present, is printed instead of its message: indented below its step.
    """

    console: Console | None = None
    """The progress bar's console."""

    @property
    def on_terminal(self) -> bool:
        """Whether a progress bar can be shown."""
        return self.stream.isatty() and os.environ.get("TERM") != "dumb"

    def format(self, record: logging.LogRecord) -> str:
        """Prefix warnings and errors with their level."""
        text = super().format(record)
        name = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return str(getattr(record, "line", name + text))

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        if self.console is None:
            super().emit(record)
        else:
            self.console.print(self.format(record), highlight=False, markup=False)


def show() -> None:
    """Show records of level INFO and above on stderr only."""
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
    """The handler that `show` added; None without one."""
    return next((handler for handler in LOGGER.handlers if isinstance(handler, Lines)), None)
