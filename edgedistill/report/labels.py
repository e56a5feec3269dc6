"""Places labels so that they cover neither points nor each other. Pure geometry, in points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_ANGLES = [math.radians(degrees) for degrees in (0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240)]
_GAPS = (3.0, 10.0, 18.0, 28.0, 42.0, 60.0)


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area of the intersection."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return width * height if width > 0 and height > 0 else 0.0

    @property
    def area(self) -> float:
        """Width times height."""
        return (self.right - self.left) * (self.top - self.bottom)


@dataclass(frozen=True)
class Mark:
    """A drawn point with its label's size."""

    x: float
    y: float
    radius: float
    width: float
    height: float


def place(marks: Sequence[Mark], obstacles: Sequence[Box], bounds: Box) -> list[tuple[float, float]]:
    """The centre of each mark's label: the nearest free place around it, or the one with the least overlap."""
    drawn = [Box(m.x - m.radius, m.y - m.radius, m.x + m.radius, m.y + m.radius) for m in marks]
    taken = [*drawn, *obstacles]
    found = []
    for mark in marks:
        places = [_label(mark, angle, gap) for gap in _GAPS for angle in _ANGLES]
        # `min` keeps the first of equals, and places are ordered by distance.
        best = min(places, key=lambda box: _cost(box, taken, bounds))
        taken.append(best)
        found.append(((best.left + best.right) / 2, (best.bottom + best.top) / 2))
    return found


def _label(mark: Mark, angle: float, gap: float) -> Box:
    """The label's rectangle that touches the circle of radius + gap from outside, in that direction."""
    reach = mark.radius + gap
    x = mark.x + math.cos(angle) * (reach + mark.width / 2)
    y = mark.y + math.sin(angle) * (reach + mark.height / 2)
    return Box(x - mark.width / 2, y - mark.height / 2, x + mark.width / 2, y + mark.height / 2)


def _cost(box: Box, taken: Sequence[Box], bounds: Box) -> float:
    outside = box.area - box.overlap(bounds)
    return round(sum(box.overlap(other) for other in taken) + 10 * outside, 6)
