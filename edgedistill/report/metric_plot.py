"""Plot of the primary metric against latency or another speed figure, with better upwards and faster to the left: one
mark per candidate, the Pareto front and the choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgedistill.contracts.metric import signed
from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.evaluation.wording import axis
from edgedistill.recipe.deployment_spec import Limits
from edgedistill.report import formatting
from edgedistill.report.labels import Box, Mark, place
from edgedistill.report.naming import short_names
from edgedistill.report.pace import LATENCY, Pace
from edgedistill.report.svg import GRID, INK, MUTED, SERIES, SHADE, style, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = ("o", "s", "D", "^", "v", "P", "X")
_LABEL_SIZE = 9.0
_CROWDED = 16
"""With more candidates than this, only the Pareto front and the chosen one are labelled."""


@dataclass(frozen=True)
class Point:
    """A candidate that can be drawn, since it has a median of that figure."""

    candidate: CandidateResult
    x: float
    y: float
    worth: float
    """`y` with its sign such that larger is better."""
    slowness: float
    """`x` with its sign such that smaller is better."""
    low: float
    high: float
    colour: str
    marker: str
    area: float

    @property
    def radius(self) -> float:
        """In points."""
        return float(self.area**0.5) / 2


def metric_against_latency(results: Results, limits: Limits, pace: Pace = LATENCY) -> str:
    """The primary metric on test over median latency or another speed figure, one mark per candidate; '' if no
    candidate has one."""
    drawn = drawable(results, pace)
    if not drawn:
        return ""
    from matplotlib.figure import Figure

    with style(f"front-{pace.limit}"):
        figure = Figure(figsize=(9.2, 4.8), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        _scale(axes, drawn, results, pace)
        _limit(axes, limits, pace)
        _front(axes, drawn)
        _marks(axes, drawn, results.chosen)
        _legend(axes, drawn, results.chosen)
        figure.canvas.draw()  # the layout must be final before labels are placed
        _labels(axes, drawn, results)
        titles = {f"candidate-{i}": _title(point, pace) for i, point in enumerate(drawn)}
        what = "median latency" if pace is LATENCY else pace.words
        return to_svg(figure, f"Test {results.metric_in_words} against {what} of {len(drawn)} candidates", titles)


def front_of(points: Sequence[Point]) -> list[Point]:
    """The points for which no other is both faster and better, fastest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.slowness, -point.worth)):
        if not front or point.worth > front[-1].worth:
            front.append(point)
    return front


def drawable(results: Results, pace: Pace = LATENCY) -> list[Point]:
    """The candidates that can be drawn, in order."""
    rounds = list(dict.fromkeys(["teacher", *(round_.id for round_ in results.rounds)]))
    precisions = list(dict.fromkeys(candidate.precision for candidate in results.measured))
    largest = max((candidate.file_bytes for candidate in results.measured), default=1)
    found = []
    for candidate in results.measured:
        x = pace.of(candidate)
        if x is None:
            continue
        y = candidate.test.value
        low, high = candidate.test.interval or (y, y)
        colour = SERIES[rounds.index(candidate.model) % len(SERIES)] if candidate.model in rounds else SERIES[0]
        marker = _MARKERS[precisions.index(candidate.precision) % len(_MARKERS)]
        area = 45 + 380 * candidate.file_bytes / largest
        worth = signed(y, results.direction)
        slowness = -signed(x, pace.direction)
        found.append(Point(candidate, x, y, worth, slowness, low, high, colour, marker, area))
    return found


def _scale(axes: Axes, points: Sequence[Point], results: Results, pace: Pace) -> None:
    """Logarithmic if linear would crowd the fast ones together; better is up, faster is left."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    slowest, fastest = max(point.x for point in points), min(point.x for point in points)
    if slowest > 10 * fastest > 0:
        axes.set_xscale("log")
        axes.set_xlim(fastest / 1.6, slowest * 1.6)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.12 * (slowest - fastest) or 0.1 * slowest or 1.0
        axes.set_xlim(max(0.0, fastest - room), slowest + room)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    low, high = min(point.low for point in points), max(point.high for point in points)
    room = 0.08 * (high - low) or 0.01
    bottom, top = (low - room, high + room) if results.direction == "higher" else (high + room, low - room)
    axes.set_ylim(bottom, top)
    axes.set_xlabel(pace.axis)
    axes.xaxis.set_inverted(pace.direction == "higher")
    axes.set_ylabel(axis(results.metric, results.direction, "on test"))
    axes.tick_params(which="both", length=0)


def _limit(axes: Axes, limits: Limits, pace: Pace) -> None:
    """Shade the area where the median exceeds the limit: p95 is never below p50, so nothing there can be shipped."""
    right, limit = axes.get_xlim()[1], pace.limit_of(limits)
    if limit is None or -signed(limit, pace.direction) >= -signed(right, pace.direction):
        return
    axes.axvspan(limit, right, facecolor=SHADE, edgecolor="none", zorder=0)
    axes.annotate(
        f"{'over' if pace.direction == 'lower' else 'under'} {pace.limit_words}, {limit:g} {pace.unit}",
        (1, 0),
        xycoords="axes fraction",
        xytext=(-6, 7),
        textcoords="offset points",
        ha="right",
        color=MUTED,
        fontsize=_LABEL_SIZE,
    )


def _front(axes: Axes, points: Sequence[Point]) -> None:
    """A step line through the front, to the right edge."""
    front = front_of(points)
    xs = [point.x for point in front] + [axes.get_xlim()[1]]
    ys = [point.y for point in front] + [front[-1].y]
    axes.plot(xs, ys, drawstyle="steps-post", color=MUTED, linewidth=1.2, alpha=0.7, zorder=1)


def _marks(axes: Axes, points: Sequence[Point], chosen: str | None) -> None:
    for i, point in enumerate(points):
        axes.vlines(point.x, point.low, point.high, color=point.colour, linewidth=1.4, alpha=0.45, zorder=2)
        hollow = not point.candidate.within_limits
        axes.scatter(
            [point.x],
            [point.y],
            s=point.area,
            marker=point.marker,
            facecolors="none" if hollow else point.colour,
            edgecolors=point.colour,
            linewidths=1.6,
            zorder=3,
            gid=f"candidate-{i}",
        )
        if point.candidate.id == chosen:
            ring = (2 * point.radius + 11) ** 2
            axes.scatter([point.x], [point.y], s=ring, facecolors="none", edgecolors=INK, linewidths=1.8, zorder=4)


def _legend(axes: Axes, points: Sequence[Point], chosen: str | None) -> None:
    """Colour is the round, shape the precision, hollow is blocked."""
    from matplotlib.lines import Line2D

    def entry(label: str, marker: str, colour: str, filled: bool = True, size: float = 7.5) -> Line2D:
        face = colour if filled else "none"
        return Line2D([], [], linestyle="", marker=marker, color=colour, markerfacecolor=face, label=label, ms=size)

    rounds = {point.candidate.model: entry(point.candidate.model, "o", point.colour) for point in points}
    shapes = {p.candidate.precision: entry(p.candidate.precision, p.marker, MUTED) for p in points}
    # Text-only entries: a grey circle alone could be the teacher or a precision.
    entries = [entry("model", "", INK), *rounds.values(), entry("precision", "", INK), *shapes.values()]
    if any(not point.candidate.within_limits for point in points):
        entries.append(entry("blocked", "o", MUTED, filled=False))
    if any(point.candidate.id == chosen for point in points):
        entries.append(entry("chosen", "o", INK, filled=False, size=11))
    axes.figure.legend(
        handles=entries,
        loc="outside upper center",
        ncols=min(len(entries), 11),
        fontsize=_LABEL_SIZE,
        handletextpad=0.2,
        columnspacing=1.5,
    )


def _labels(axes: Axes, points: Sequence[Point], results: Results) -> None:
    """Short names beside the marks, with a thin line to those that had to be moved away."""
    names = short_names(results.measured)
    if len(points) > _CROWDED:
        front = front_of(points)
        points = [point for point in points if point in front or point.candidate.id == results.chosen]
    texts = [
        names[point.candidate.id] + (" (chosen)" if point.candidate.id == results.chosen else "") for point in points
    ]
    middles = [axes.transData.transform((point.x, point.y)) for point in points]
    marks = []
    for point, (x, y), text in zip(points, middles, texts, strict=True):
        ring = 5.5 if point.candidate.id == results.chosen else 0.0
        # The page's font is unknown: 0.56 em per character is wide for sans-serif.
        marks.append(Mark(x, y, point.radius + ring, 0.56 * _LABEL_SIZE * len(text), 1.2 * _LABEL_SIZE))
    places = place(marks, _lines(axes, points), Box(*axes.bbox.extents))
    for point, mark, text, (x, y) in zip(points, marks, texts, places, strict=True):
        chosen = point.candidate.id == results.chosen
        near = max(abs(x - mark.x) - mark.width / 2, abs(y - mark.y) - mark.height / 2) < mark.radius + 9
        axes.annotate(
            text,
            (point.x, point.y),
            xytext=(x - mark.x, y - mark.y),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_LABEL_SIZE,
            color=INK,
            fontweight="bold" if chosen else "normal",
            arrowprops=None
            if near
            else {"arrowstyle": "-", "color": GRID, "linewidth": 1, "shrinkA": 0, "shrinkB": point.radius},
            zorder=5,
        )


def _lines(axes: Axes, points: Sequence[Point]) -> list[Box]:
    """What labels should not cover besides the marks: the intervals, and the front's horizontal parts."""

    def box(left: float, bottom: float, right: float, top: float) -> Box:
        (x0, y0), (x1, y1) = axes.transData.transform([(left, bottom), (right, top)])
        return Box(x0 - 1, min(y0, y1) - 1, x1 + 1, max(y0, y1) + 1)

    front = front_of(points)
    ends = [*(point.x for point in front[1:]), axes.get_xlim()[1]]
    levels = [box(point.x, point.y, end, point.y) for point, end in zip(front, ends, strict=True)]
    return [*levels, *(box(point.x, point.low, point.x, point.high) for point in points)]


def _title(point: Point, pace: Pace) -> str:
    candidate = point.candidate
    return (
        f"{candidate.id}: {formatting.estimate(candidate.test)}, "
        f"{pace.shown(point.x)}, {formatting.megabytes(candidate.file_bytes)} MB"
        + "".join(f"; {reason}" for reason in candidate.blocked_by)
    )
