"""Markdown: escaped text, and tables."""

from __future__ import annotations

from collections.abc import Sequence


def escape(text: str) -> str:
    """Escape text so that it neither ends a table cell or line nor becomes HTML."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("\\", "\\\\").replace("|", "\\|")
    return " ".join(text.split())


def table(names: Sequence[str], rows: Sequence[Sequence[str]], text_columns: Sequence[int]) -> str:
    """A table with numbers right-aligned and text columns left-aligned."""
    rule = [":---" if i in text_columns else "---:" for i in range(len(names))]
    cells = [names, *rows]
    lines = [[escape(cell) for cell in row] for row in cells]
    return "\n".join("| " + " | ".join(row) + " |" for row in [lines[0], rule, *lines[1:]])
