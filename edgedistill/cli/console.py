"""Standard output, and what its tables share. Numbers are only rounded here."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_HEADER = 18
"""Characters in a line of a number's header, so that the room is left to text."""


def standard_output() -> Console:
    """Standard output; not limited in width unless it is a terminal, so that logs are not truncated."""
    import sys

    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=180)


def new_table(title: str, *columns: str, right: Sequence[int]) -> Table:
    """An empty one; `right` are the columns of numbers."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        header = "\n".join(wrap(name, _HEADER, break_long_words=False)) if number in right else name
        table.add_column(header, justify="right" if number in right else "left", overflow="fold")
    return table


def escape(text: str) -> str:
    """Escape brackets, which are markup otherwise."""
    from rich import markup

    return markup.escape(text)


def ms(value: object) -> str:
    """Milliseconds, or a dash for None."""
    return "-" if value is None else f"{float(str(value)):.2f}"
