"""The curve over rounds: the metric on test of teacher, students and controls, with intervals and repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_figures import Estimate
from edgedistill.evaluation.results_models import RoundResult
from edgedistill.evaluation.wording import axis
from edgedistill.report import formatting
from edgedistill.report.svg import GRID, INK, MUTED, SERIES, style, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def metric_over_rounds(results: Results) -> str:
    """One position per round on the recipe's data, better upwards; the control is hollow beside it, other seeds are
    small."""
    from matplotlib.figure import Figure

    rounds = [round_ for round_ in results.rounds if round_.on_recipe_data]
    names = ["teacher", *(round_.id for round_ in rounds)]
    sizes = [results.teacher.parameters, *(round_.parameters for round_ in rounds)]
    with style("rounds"):
        figure = Figure(figsize=(9.2, 3.2), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        _draw_models(axes, [results.teacher.test, *(round_.test for round_ in rounds)])
        for place, round_ in enumerate(rounds, start=1):
            _draw_beside(axes, place, round_)
        axes.set_xticks(range(len(names)))
        axes.set_xticklabels(
            [f"{name}\n{formatting.parameters(size)}" for name, size in zip(names, sizes, strict=True)]
        )
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.margins(y=0.18)
        axes.tick_params(length=0)
        axes.yaxis.set_inverted(results.direction == "lower")
        axes.set_ylabel(axis(results.metric, results.direction, "on test"))
        axes.legend(loc="lower left", fontsize=8)
        return to_svg(figure, f"Test {results.metric_in_words} of {', '.join(names)}")


def _draw_models(axes: Axes, figures: Sequence[Estimate]) -> None:
    """The teacher and each round's student, joined by a line, each with its interval and its value."""
    axes.plot(range(len(figures)), [figure.value for figure in figures], color=GRID, linewidth=1.4, zorder=1)
    for place, figure in enumerate(figures):
        colour = SERIES[place % len(SERIES)]
        low, high = figure.interval or (figure.value, figure.value)
        axes.vlines(place, low, high, color=colour, linewidth=1.6, alpha=0.5, zorder=2)
        axes.scatter([place], [figure.value], s=60, color=colour, zorder=3, label="student" if place == 1 else None)
        axes.annotate(
            formatting.metric(figure.value),
            (place, figure.value),
            xytext=(-9, 4),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color=INK,
            zorder=5,
        )


def _draw_beside(axes: Axes, place: int, round_: RoundResult) -> None:
    """What stands beside a round's student: its control, and the same student from other seeds."""
    if round_.control is not None:
        axes.scatter(
            [place + 0.08],
            [round_.control.value],
            s=46,
            facecolors="none",
            edgecolors=MUTED,
            linewidths=1.4,
            zorder=3,
            label="control" if place == 1 else None,
        )
    others = [seed.value for seed in round_.seeds[1:]]
    axes.scatter(
        [place + 0.16] * len(others),
        others,
        s=16,
        color=SERIES[place % len(SERIES)],
        alpha=0.7,
        zorder=3,
        label="other seeds" if place == 1 and others else None,
    )
