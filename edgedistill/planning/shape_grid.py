"""Student shapes at or below a source model's, as recipes spell them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgedistill.contracts.model_shape import ModelShape

WIDTHS = (1.0, 0.5, 0.25)
"""Of the source's heads."""
FEED_FORWARDS = (1.0, 0.5)
"""Of the source's feed-forward neurons per hidden dimension."""
_MOST_DEPTHS = 12
_LEAST = 8
"""Hidden dimensions and neurons that a recipe accepts."""

StudentLine = dict[str, str | int]
"""The `student:` of a recipe."""


@dataclass(frozen=True)
class GridShape:
    """One shape of the grid."""

    layers: int
    hidden_size: int
    heads: int
    intermediate_size: int

    def student(self, origin: str, source: ModelShape) -> StudentLine:
        """The student of a recipe: `keep_layers` at the source's width, otherwise `narrow`."""
        if (self.hidden_size, self.intermediate_size) == (source.hidden_size, source.intermediate_size):
            return {"init": "keep_layers", "from": origin, "layers": self.layers}
        return {
            "init": "narrow",
            "from": origin,
            "hidden_size": self.hidden_size,
            "heads": self.heads,
            "layers": self.layers,
            "intermediate_size": self.intermediate_size,
        }


def grid(source: ModelShape) -> Iterator[GridShape]:
    """Depths up to the source's, whole heads of the source's size, and feed-forward widths in proportion or half; none
    for a source whose feed-forward width is unknown."""
    if source.intermediate_size is None:
        return
    size = source.hidden_size // source.heads
    for heads in dict.fromkeys(max(1, round(source.heads * share)) for share in WIDTHS):
        width = heads * size
        for share in FEED_FORWARDS:
            neurons = round(source.intermediate_size * share * width / source.hidden_size)
            if min(width, neurons) >= _LEAST:
                yield from (GridShape(depth, width, heads, neurons) for depth in depths(source.layers))


def depths(layers: int) -> list[int]:
    """All depths from the deepest on, or twelve of them, evenly spaced.

    >>> depths(3), depths(24)[:3]
    ([3, 2, 1], [24, 22, 20])
    """
    count = min(layers, _MOST_DEPTHS)
    return sorted({max(1, round(layers * number / count)) for number in range(1, count + 1)}, reverse=True)
