"""From a matplotlib figure to an SVG inside a page: the same bytes every time, colours by the page's theme."""

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
"""The teacher's grey, then a colour a round; each reads on white and on near-black."""

# matplotlib knows no CSS variables: it draws with these stand-ins, and `to_svg` swaps them.
INK, MUTED, GRID, SHADE = "#010203", "#010204", "#010205", "#010206"
_THEME = {
    INK: "var(--ink, #374151)",
    MUTED: "var(--muted, #6b7280)",
    GRID: "var(--line, #9ca3af55)",
    SHADE: "var(--shade, #9ca3af22)",
}


def style(salt: str) -> AbstractContextManager[None]:
    """matplotlib's settings for a figure; `salt` keeps the ids of two figures on one page apart."""
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
    """The `<svg>` element, to be put into HTML as it is.

    Args:
        label: what a screen reader says.
        titles: text shown over an element, by the `gid` of its artist.
    """
    buffer = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    # The sheet that matplotlib adds speaks of `*`: it would style the whole page.
    text = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r'<svg (.*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1, flags=re.DOTALL)
    text = text.replace("<svg ", f'<svg class="plot" role="img" aria-label="{escape(label)}" ', 1)
    for stand_in, colour in _THEME.items():
        text = text.replace(stand_in, colour)
    for gid, title in (titles or {}).items():
        text = text.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{escape(title)}</title>', 1)
    # Fonts are the page's.
    return _without_idle_ids(re.sub(r" *font-family:[^;\"]*;?", "", text))


def _without_idle_ids(text: str) -> str:
    """Two figures on one page must not share ids: those that nothing refers to go."""
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    return re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
