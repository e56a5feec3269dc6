"""The loss budget in `report.md`: a table of the hops, and the flipped texts."""

from __future__ import annotations

from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_losses import HopResult, LossBudgetResult
from edgedistill.evaluation.wording import drop_word, heading
from edgedistill.report import formatting as f
from edgedistill.report.markdown_text import escape, table


def budget_note(results: Results) -> str:
    """What the table shows."""
    drop = drop_word(results.direction)
    return (
        f"On test, paired by example: a positive {drop} is a loss, and the {drop}s add up to the last row. Agreement: "
        f"share of equal {results.decision}s. Right → wrong, wrong → right: number of {results.decision}s."
    )


def loss_budget(results: Results) -> list[str]:
    """The section; empty without a budget."""
    budget = results.loss_budget
    if budget is None:
        return []
    drop = f"{drop_word(results.direction)} [95% CI]"
    names = ["from", "to", "by", heading(results.metric, results.direction), drop, "agreement", "right → wrong"]
    rows = [_row(hop) for hop in budget.hops]
    whole = ["teacher", budget.candidate, "all", f.metric(budget.hops[-1].figure.value), f.gain(budget.drop)]
    rows.append([*whole, *[f.DASH] * 3])
    rendered = table([*names, "wrong → right"], rows, text_columns=(0, 1, 2))
    title = f"## Where it was lost: teacher to `{budget.candidate}`"
    return [f"{title}\n\n{rendered}\n\n{escape(budget_note(results))}", *_flipped(budget)]


def _row(hop: HopResult) -> list[str]:
    return [
        hop.before,
        hop.after,
        hop.kind,
        f.metric(hop.figure.value),
        f.gain(hop.drop),
        f.share(hop.agreement),
        f.count(hop.lost),
        f.count(hop.won),
    ]


def _flipped(budget: LossBudgetResult) -> list[str]:
    rows = [
        [hop.after, kind, flip.text, flip.reference, flip.before, flip.after]
        for hop in budget.hops
        for kind, flips in (("right → wrong", hop.lost_texts), ("wrong → right", hop.won_texts))
        for flip in flips
    ]
    if not rows:
        return []
    names = ["at", "flip", "text", "reference", "before", "after"]
    return [f"### Flipped on the way\n\nThe first of each kind.\n\n{table(names, rows, text_columns=range(6))}"]
