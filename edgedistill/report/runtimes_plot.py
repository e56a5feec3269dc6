"""Latency by runtime and precision, one panel per model: the same student on different runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.report import formatting
from edgedistill.report.svg import GRID, INK, MUTED, SERIES, style, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = ("o", "s", "D", "^", "v", "P", "X")


def latency_by_runtime(results: Results) -> str:
    """Median latency with its interval: one row per target and runtime, one mark per precision, one panel per model; ''
    if there is only one row, which the other plot already shows."""
    timed = [candidate for candidate in results.measured if candidate.latency_ms.p50]
    rows = list(dict.fromkeys(row_name(candidate, timed) for candidate in timed))
    if len(rows) < 2:
        return ""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    models = [name for name in ("teacher", *(round_.id for round_ in results.rounds)) if _of(name, timed)]
    precisions = list(dict.fromkeys(candidate.precision for candidate in timed))
    with style("runtimes"):
        height = 0.95 + 0.34 * len(rows)
        figure = Figure(figsize=(9.2, height * len(models) + 0.5), dpi=72, layout="constrained")
        panels = figure.subplots(len(models), 1, sharex=True, squeeze=False)[:, 0]
        for axes, model in zip(panels, models, strict=True):
            _panel(axes, model, _of(model, timed), rows, precisions, timed)
        axes = panels[-1]
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("median latency of one run, ms")
        _legend(axes, precisions)
        return to_svg(figure, f"Median latency by runtime and precision of {', '.join(models)}")


def row_name(candidate: CandidateResult, every: Sequence[CandidateResult]) -> str:
    """The target, with its runtime if the target has several, and with threads and batch if they differ."""
    runtimes = {other.runtime for other in every if other.target == candidate.target}
    name = candidate.target if len(runtimes) == 1 else f"{candidate.target}, {candidate.runtime}"
    if len({(other.threads, other.batch) for other in every}) > 1:
        name += f" {candidate.threads}t b{candidate.batch}"
    return name


def _of(model: str, timed: Sequence[CandidateResult]) -> list[CandidateResult]:
    return [candidate for candidate in timed if candidate.model == model]


def _panel(
    axes: Axes,
    model: str,
    own: Sequence[CandidateResult],
    rows: Sequence[str],
    precisions: Sequence[str],
    every: Sequence[CandidateResult],
) -> None:
    """One model: files that can be shipped are filled, the others hollow."""
    for candidate in own:
        i = precisions.index(candidate.precision)
        # Precisions may be equally fast.
        y = rows.index(row_name(candidate, every)) + 0.5 * ((i + 0.5) / len(precisions) - 0.5)
        colour, p50 = SERIES[i % len(SERIES)], candidate.latency_ms.p50
        assert p50 is not None
        low, high = candidate.latency_ms.p50_ci or (p50, p50)
        axes.hlines(y, low, high, color=colour, linewidth=1.6, alpha=0.5, zorder=2)
        face = colour if candidate.within_limits else "none"
        axes.scatter([p50], [y], s=42, marker=_MARKERS[i % len(_MARKERS)], facecolors=face, edgecolors=colour, zorder=3)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    for i in range(len(rows) - 1):
        axes.axhline(i + 0.5, color=GRID, linewidth=0.8, zorder=0)
    axes.tick_params(which="both", length=0)
    largest = max((candidate.file_bytes for candidate in own), default=0)
    axes.set_title(f"{model}, files up to {formatting.megabytes(largest)} MB", loc="left", fontsize=9.5, color=INK)


def _legend(axes: Axes, precisions: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    entries = [
        Line2D([], [], linestyle="", marker=_MARKERS[i % len(_MARKERS)], color=SERIES[i % len(SERIES)], label=name)
        for i, name in enumerate(precisions)
    ]
    entries.append(Line2D([], [], linestyle="", marker="o", color=MUTED, markerfacecolor="none", label="blocked"))
    axes.figure.legend(handles=entries, loc="outside upper center", ncols=len(entries), fontsize=9, handletextpad=0.2)
