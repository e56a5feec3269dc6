"""Converts a matplotlib figure to inline SVG: reproducible bytes, colours from the page's theme."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from html import escape
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SERIES = ("#6b7280", "#3b82f6", "#f97316", "#10b981", "#a855f7", "#e11d48", "#0891b2", "#ca8a04")
"""Grey for the teacher, then one colour per round; all readable on white and near-black."""

# matplotlib knows no CSS variables: it draws with these stand-ins, and `to_svg` swaps them.
INK, MUTED, GRID, SHADE = "#010203", "#010204", "#010205", "#010206"
_THEME = {
    INK: "var(--ink, #374151)",
    MUTED: "var(--muted, #6b7280)",
    GRID: "var(--line, #9ca3af55)",
    SHADE: "var(--shade, #9ca3af22)",
}


def style(salt: str) -> AbstractContextManager[None]:
    """matplotlib's settings for a figure; `salt` makes ids unique on a page."""
    import matplotlib

    return matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": f"edgedistill-{salt}",
            "font.size": 10,
            "text.color": INK,
            "axes.labelcolor": MUTED,
            "axes.edgecolor": GRID,
            "axes.facecolor": "none",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "axes.axisbelow": True,
            "grid.color": GRID,
            "grid.linewidth": 0.8,
            "xtick.color": GRID,
            "ytick.color": GRID,
            "xtick.labelcolor": MUTED,
            "ytick.labelcolor": MUTED,
            "legend.frameon": False,
        }
    )


def to_svg(figure: Figure, label: str, titles: Mapping[str, str] | None = None) -> str:
    """The `<svg>` element for inlining in HTML.

    Args:
        label: text for screen readers.
        titles: tooltip of an element, by the `gid` of its artist.
    """
    buffer = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    # matplotlib's style sheet selects `*`, which would affect the whole page.
    text = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r'<svg (.*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1, flags=re.DOTALL)
    text = text.replace("<svg ", f'<svg class="plot" role="img" aria-label="{escape(label)}" ', 1)
    for stand_in, colour in _THEME.items():
        text = text.replace(stand_in, colour)
    for gid, title in (titles or {}).items():
        text = text.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{escape(title)}</title>', 1)
    # Use the page's fonts.
    return _without_idle_ids(re.sub(r" *font-family:[^;\"]*;?", "", text))


def _without_idle_ids(text: str) -> str:
    """Figures on one page must not share ids, so remove unreferenced ones."""
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
