"""The waterfall of the loss budget: the metric on test from the teacher down to the file, one bar per hop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedistill.contracts.metric import signed
from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_losses import HopResult, LossBudgetResult
from edgedistill.evaluation.wording import axis
from edgedistill.report import formatting
from edgedistill.report.svg import GRID, INK, MUTED, SERIES, style, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 0.56
_LOST, _WON = SERIES[5], SERIES[3]


def waterfall(results: Results) -> str:
    """The teacher, each hop's drop with its paired interval, and the file, better upwards; '' without a budget."""
    budget = results.loss_budget
    if budget is None:
        return ""
    from matplotlib.figure import Figure

    last = len(budget.hops) + 1
    end = budget.hops[-1].figure.value
    with style("loss-budget"):
        figure = Figure(figsize=(9.2, 3.4), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        _level(axes, 0, budget.start.value)
        before = budget.start.value
        for place, hop in enumerate(budget.hops, start=1):
            _bar(axes, place, before, hop, results)
            before = hop.figure.value
        _level(axes, last, end)
        axes.set_xticks(range(last + 1))
        axes.set_xticklabels(["teacher", *map(hop_label, budget.hops), "the file"])
        axes.set_xlim(-0.6, last + 0.6)
        axes.margins(y=0.22)
        axes.tick_params(length=0)
        axes.yaxis.set_inverted(results.direction == "lower")
        axes.set_ylabel(axis(results.metric, results.direction, "on test"))
        return to_svg(figure, _label(budget, results))


def hop_label(hop: HopResult) -> str:
    """What a hop adds, in two short lines: the round, the file, its precision, or the other runtime."""
    if hop.kind == "round":
        return f"round\n{hop.after}"
    _, target, precision, runtime = hop.after.split("/")
    names = {"export": f"{target} {precision}", "precision": precision, "runtime": runtime}
    return f"{hop.kind}\n{names.get(hop.kind, f'{target} {precision}')}"


def _label(budget: LossBudgetResult, results: Results) -> str:
    """The text for screen readers."""
    changes = ", ".join(f"{hop.after} {_change(hop, results)}" for hop in budget.hops)
    return f"Test {results.metric_in_words} from the teacher to {budget.candidate}: {changes}"


def _level(axes: Axes, place: int, value: float) -> None:
    axes.hlines(value, place - _WIDTH / 2, place + _WIDTH / 2, color=INK, linewidth=2.4, zorder=3)
    axes.annotate(
        formatting.metric(value),
        (place, value),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=INK,
    )


def _bar(axes: Axes, place: int, before: float, hop: HopResult, results: Results) -> None:
    """From the metric before to that after, with the interval of the difference around its end."""
    after, change = hop.figure.value, 0.0 - signed(hop.drop.value, results.direction)
    colour = MUTED if change == 0 else _LOST if hop.drop.value > 0 else _WON
    axes.hlines(before, place - 1 + _WIDTH / 2, place + _WIDTH / 2, color=GRID, linewidth=1, zorder=1)
    axes.bar(place, after - before, _WIDTH, bottom=before, color=colour, alpha=0.75, zorder=2)
    axes.hlines(after, place - _WIDTH / 2, place + 1 - _WIDTH / 2, color=colour, linewidth=1.4, zorder=3)
    ends = [before - signed(end, results.direction) for end in hop.drop.interval or ()]
    if ends:
        axes.vlines(place, min(ends), max(ends), color=INK, linewidth=1.4, zorder=4)
    axes.annotate(
        _change(hop, results),
        (place, max((before, after, *ends), key=lambda value: signed(value, results.direction))),
        xytext=(0, 5),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=INK,
        zorder=5,
    )


def _change(hop: HopResult, results: Results) -> str:
    """The metric's change, with the metric's own sign."""
    return formatting.difference(0.0 - signed(hop.drop.value, results.direction))
