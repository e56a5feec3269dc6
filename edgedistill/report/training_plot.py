"""Training curves: one panel per model, the validation metric after every epoch of all stages, better upwards."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgedistill.contracts.metric import Direction, signed
from edgedistill.evaluation.wording import axis, in_words
from edgedistill.report import formatting
from edgedistill.report.svg import GRID, INK, MUTED, SERIES, style, to_svg
from edgedistill.store.records.models import EpochRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONTROL = "-control"
_SEED = re.compile(r"-seed\d+$")
_COLUMNS = 3


def training_curves(training: Mapping[str, Sequence[EpochRecord]], metric: str, direction: Direction) -> str:
    """The curves of all trained models, with dashed controls in their round's panel; '' if there are none.

    Args:
        training: each model's epochs, by model; a control is `ROUND-control`, a repetition
            with another seed, drawn faintly, `ROUND-seedN`.
        metric: the primary one.
    """
    repeated = {name: epochs for name, epochs in training.items() if _SEED.search(name)}
    alone = {name: epochs for name, epochs in training.items() if name not in repeated}
    panels = [name for name, epochs in alone.items() if epochs and not name.endswith(CONTROL)]
    if not panels:
        return ""
    panels.sort(key=lambda name: name != "teacher")
    from matplotlib.figure import Figure

    with style("training"):
        columns = min(_COLUMNS, len(panels))
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(3.1 * columns, 2.5 * rows), dpi=72, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for i, axes in enumerate(grid.flat):
            if i >= len(panels):
                axes.set_visible(False)
                continue
            name, colour = panels[i], SERIES[i % len(SERIES)]
            for other, epochs in repeated.items():
                if _SEED.sub("", other) == name:
                    metrics = [epoch.metric for epoch in epochs]
                    axes.plot(range(1, len(metrics) + 1), metrics, color=colour, alpha=0.35, linewidth=1)
            _panel(axes, name, colour, training[name], training.get(name + CONTROL, ()), direction)
        grid[0, 0].yaxis.set_inverted(direction == "lower")  # the others share it
        for axes in grid[:, 0]:
            axes.set_ylabel(axis(metric, direction, "on validation").replace(" (", "\n("), fontsize=8)
        return to_svg(figure, f"Validation {in_words(metric)} by epoch of {', '.join(panels)}")


def _panel(
    axes: Axes,
    name: str,
    colour: str,
    own: Sequence[EpochRecord],
    control: Sequence[EpochRecord],
    direction: Direction,
) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(name, loc="left", fontsize=10, fontweight="bold", color=INK, pad=24)
    _line(axes, own, colour, "-", name, direction)
    if control:
        _line(axes, control, MUTED, (0, (4, 2.5)), "control", direction)
    longest = max(len(own), len(control))
    axes.set_xlim(0.5, longest + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    axes.tick_params(length=0)
    for number, (start, stage) in enumerate(_stages(own)):
        if start:
            axes.axvline(start + 0.5, color=GRID, linewidth=1.2)
        axes.annotate(
            stage,
            (start + 0.5, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, 4 + 8 * (number % 2)),  # names of short stages would overlap
            textcoords="offset points",
            fontsize=8,
            color=MUTED,
        )
    axes.legend(loc="lower right", fontsize=8, handlelength=2.2)


def _line(
    axes: Axes, epochs: Sequence[EpochRecord], colour: str, dashes: object, name: str, direction: Direction
) -> None:
    """One model's curve; the epoch whose weights were kept has a larger mark and its metric in the legend."""
    metrics = [epoch.metric for epoch in epochs]
    kept = _kept(epochs, direction)
    axes.plot(
        range(1, len(metrics) + 1),
        metrics,
        color=colour,
        linestyle=dashes,
        linewidth=1.7,
        marker="o",
        markersize=6,
        markevery=[kept],
        label=f"{name} {formatting.metric(metrics[kept])}",
    )


def _kept(epochs: Sequence[EpochRecord], direction: Direction) -> int:
    """The last stage's best epoch, the later of equals, whose weights training restores."""
    last = range(_stages(epochs)[-1][0], len(epochs))
    return max(last, key=lambda i: (signed(epochs[i].metric, direction), i))


def _stages(epochs: Sequence[EpochRecord]) -> list[tuple[int, str]]:
    """The number of epochs before each stage, and its name."""
    return [(i, epoch.stage) for i, epoch in enumerate(epochs) if i == 0 or epochs[i - 1].stage != epoch.stage]
