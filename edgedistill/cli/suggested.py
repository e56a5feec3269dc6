"""Prints the estimates and proposals of `suggest`, and the estimates of `plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from edgedistill.cli.console import escape, new_table, standard_output
from edgedistill.report import formatting

if TYPE_CHECKING:
    from rich.table import Table

    from edgedistill.api import Suggestions
    from edgedistill.exporting.estimates import CandidateEstimate
    from edgedistill.planning.shape_grid import StudentLine
    from edgedistill.recipe.deployment_spec import Limits
    from edgedistill.runs.suggesting import Proposal

_DIGITS = 3
_NUMBERS = range(1, 4)


def suggestions(found: Suggestions) -> None:
    """Estimates of the recipe's candidates, shapes that meet the limits, and the lines to paste."""
    console = standard_output()
    lengths = f"{found.lengths.p50} tokens (p50) and {found.lengths.p95} (p95), from {found.lengths.origin}"
    console.print(estimates_table(found.estimates, found.limits, f"{found.recipe}: expected, at {lengths}"))
    for reason in dict.fromkeys(one.without for one in found.estimates if one.without is not None):
        console.print(f"- : {escape(reason)}", highlight=False)
    if found.proposals:
        console.print(_proposals(found.proposals, f"students of {found.round} that meet the limits"))
        console.print(escape(found.why), highlight=False)
        console.print(f"\n[bold]to paste at {found.place}[/], the first of them:", highlight=False)
        console.print(yaml_lines(found.proposals[0].student), highlight=False, markup=False)
    else:
        console.print(f"[yellow]no proposals:[/] {escape(found.why)}", highlight=False)
    console.print(f"times of this machine's layers: {found.table}", highlight=False, soft_wrap=True)


def suggestions_facts(found: Suggestions) -> dict[str, object]:
    """The same as data."""
    return {
        "recipe": found.recipe,
        "lengths": asdict(found.lengths),
        "limits": found.limits.model_dump(mode="json", exclude_none=True),
        "estimates": [
            {**one.model_dump(mode="json"), "exceeded": one.exceeded(found.limits)} for one in found.estimates
        ],
        "place": found.place,
        "proposals": [
            {**asdict(proposal), "estimate": proposal.estimate.model_dump(mode="json")} for proposal in found.proposals
        ],
        "why": found.why,
        "table": found.table,
    }


def estimates_table(estimates: Sequence[CandidateEstimate], limits: Limits, title: str) -> Table:
    """One line per candidate, with the limits that it would exceed."""
    table = new_table(title, "candidate", "MB", "p50 ms", "p95 ms", "limits", right=_NUMBERS)
    for one in estimates:
        table.add_row(one.id, *_figures(one), _standing(one, limits))
    return table


def yaml_lines(student: StudentLine) -> str:
    """The student in the recipe's own form.

    >>> yaml_lines({"init": "keep_layers", "from": "teacher", "layers": 2})
    'student: {init: keep_layers, from: teacher, layers: 2}'
    """
    return f"student: {{{', '.join(f'{key}: {value}' for key, value in student.items())}}}"


def _proposals(found: Sequence[Proposal], title: str) -> Table:
    names = ("layers", "hidden", "neurons", "layer weights", "candidate", "MB", "p50 ms", "p95 ms", "student")
    table = new_table(title, *names, right=(0, 1, 2, 3, 5, 6, 7))
    for proposal in found:
        shape = (str(proposal.layers), str(proposal.hidden_size), str(proposal.intermediate_size))
        weights = formatting.parameters(proposal.layer_weights)
        own = proposal.estimate
        table.add_row(*shape, weights, own.id, *_figures(own), escape(yaml_lines(proposal.student)))
    return table


def _figures(one: CandidateEstimate) -> tuple[str, str, str]:
    return _shown(one.file_mb), _shown(one.p50_ms), _shown(one.p95_ms)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.{_DIGITS}f}"


def _standing(one: CandidateEstimate, limits: Limits) -> str:
    if exceeded := one.exceeded(limits):
        return f"[red]exceeds[/] {escape('; '.join(exceeded))}"
    return "[green]within[/]" if one.meets(limits) else "[yellow]not known[/]"
