"""Output of the command line: tables for people, JSON for programs. Numbers are rounded only here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.cli.console import escape, ms, new_table, standard_output
from edgedistill.cli.suggested import estimates_table
from edgedistill.evaluation.wording import heading
from edgedistill.exporting.candidates import makeable_candidates
from edgedistill.report import formatting
from edgedistill.report.headline import ship_line
from edgedistill.report.pace import speed_at

if TYPE_CHECKING:
    from rich.table import Table

    from edgedistill.api import PlannedRun
    from edgedistill.evaluation.results import Results
    from edgedistill.evaluation.results_candidates import CandidateResult
    from edgedistill.planning.estimates import ModelEstimate


def results(found: Results) -> None:
    """Warnings, rounds, candidates, the choice and the path of the report."""
    console = standard_output()
    for warning in found.warnings:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False)
    console.print(_rounds(found))
    console.print(_candidates(found))
    line = ship_line(found)
    console.print(f"[bold]{'nothing to ship' if line is None else 'ship'}:[/] {line or found.why}", highlight=False)
    if line is not None:
        console.print(f"[bold]why:[/] {found.why.removeprefix(f'{found.chosen}: ')}", highlight=False)


def plan(planned: PlannedRun) -> None:
    """Steps and models."""
    console = standard_output()
    steps = new_table(f"{planned.plan.recipe.name} in {planned.folder}", "", "step", "key", "what", right=())
    for step in planned.plan.steps:
        mark = "[green]done[/]" if step.name in planned.done else "to do"
        steps.add_row(mark, step.name, step.short_key, step.summary)
    console.print(steps)
    precisions = [quantization.id for quantization in planned.plan.recipe.quantize]
    names = ("model", "from", "layers", "hidden", "heads", "neurons", "parameters", *(f"{n} MB" for n in precisions))
    models = new_table("models", *names, right=range(2, len(names)))
    for model in planned.plan.models:
        sizes = [_number(model.file_bytes[name], 1e6, 1) for name in precisions]
        about = "" if model.exact or model.parameters is None else "~"
        parameters = about + _number(model.parameters, 1e6, 2, " M")
        shape = (_plain(model.layers), _plain(model.hidden_size), *_inside(model))
        models.add_row(model.id, model.origin, *shape, parameters, *sizes)
    console.print(models)
    if any(one.file_bytes or one.p50_ms for one in planned.plan.estimates):
        limits = planned.plan.recipe.select.limits
        console.print(estimates_table(planned.plan.estimates, limits, "candidates, expected"))
        if any(one.without for one in planned.plan.estimates):
            console.print(f"- : {_reasons(planned)}", highlight=False)
    refused = [row for row in planned.plan.candidates if row.refused is not None]
    for row in refused:
        console.print(f"[yellow]refused[/] {row.id}: {escape(row.refused or '')}", highlight=False)
    todo = len(planned.plan.steps) - len(planned.done)
    count = f"{len(planned.plan.candidates) - len(refused)} candidates" + (
        f", {len(refused)} refused" if refused else ""
    )
    console.print(f"{todo} of {len(planned.plan.steps)} steps to do, {count}")
    if any(model.parameters is None for model in planned.plan.models):
        console.print(
            "? : unknown until the model's config.json or the data has been read (run does that first)", highlight=False
        )
    if any(model.parameters is not None and not model.exact for model in planned.plan.models):
        console.print("~ : estimate; depends on data that has not been read yet", highlight=False)


def plan_facts(planned: PlannedRun) -> dict[str, object]:
    """The plan as data."""
    return {
        "recipe": planned.plan.recipe.name,
        "folder": str(planned.folder),
        "steps": [
            {
                "name": step.name,
                "kind": step.kind.name,
                "key": step.key,
                "inputs": [artifact.step for artifact in step.reads.values()],
                "done": step.name in planned.done,
            }
            for step in planned.plan.steps
        ],
        "estimates": [
            {**one.model_dump(mode="json"), "exceeded": one.exceeded(planned.plan.recipe.select.limits)}
            for one in planned.plan.estimates
        ],
        "models": [asdict(model) for model in planned.plan.models],
        "candidates": [row.id for row in makeable_candidates(planned.plan.candidates)],
        "refused": {row.id: row.refused for row in planned.plan.candidates if row.refused is not None},
    }


def recipes(files: Mapping[str, Path]) -> None:
    """Name of each recipe and its first comment line, except the one for editors."""
    console = standard_output()
    for name, file in files.items():
        lines = file.read_text(encoding="utf-8").splitlines()
        first = next(line for line in lines if not line.startswith("# yaml-language-server:"))
        console.print(f"[bold]{name:<18}[/] {first.removeprefix('# ')}", highlight=False)


def diagnosis(found: Mapping[str, object]) -> None:
    """What is installed and what is missing."""
    console = standard_output()
    for section, content in found.items():
        if not isinstance(content, dict):
            text = (", ".join(content) or "none") if isinstance(content, list) else str(content)
            console.print(f"[bold]{section:<12}[/] {text}", highlight=False)
            continue
        console.print(f"[bold]{section}[/]")
        for name, value in content.items():
            console.print(f"  {name:<16} {_diagnosed(value)}", highlight=False, soft_wrap=True)


def _rounds(found: Results) -> Table:
    names = (
        "model",
        "teacher",
        "parameters",
        heading(found.metric, found.direction),
        "95% interval",
        "control",
        "gain over control",
        "seconds",
    )
    table = new_table("models, on test", *names, right=range(2, 8))
    parameters = formatting.parameters(found.teacher.parameters)
    test = found.teacher.test
    seconds = f"{found.teacher.train_seconds:.0f}"
    table.add_row(
        "teacher", "", parameters, formatting.metric(test.value), formatting.interval(test.interval), "", "", seconds
    )
    for round_ in found.rounds:
        own = "" if round_.own_teacher is None else f" ({formatting.metric(round_.own_teacher.value)}), own data"
        table.add_row(
            round_.id,
            f"{round_.teacher}{own}",
            formatting.parameters(round_.parameters),
            formatting.metric(round_.test.value),
            formatting.interval(round_.test.interval),
            "" if round_.control is None else formatting.metric(round_.control.value),
            "" if round_.gain is None else formatting.gain(round_.gain),
            f"{round_.train_seconds:.0f}",
        )
    return table


def _candidates(found: Results) -> Table:
    names = (
        "",
        "candidate",
        "MB",
        heading(found.metric, found.direction),
        found.agreement_in_words,
        *_speed_names(found),
        "RSS MB",
        "load ms",
        "limits",
    )
    table = new_table(f"candidates: {found.metric_in_words} on test", *names, right=range(2, len(names) - 1))
    for row in found.measured:
        mark = "[green]>[/]" if row.id == found.chosen else ("*" if row.on_pareto_front else "")
        figure, *_, size = brief(row)
        memory = "-" if row.peak_rss_mb is None else f"{row.peak_rss_mb:.1f}"
        limits = "; ".join((*(("within",) if row.within_limits else row.blocked_by), *row.marks))
        agreement = f"{row.agreement_with_student:.4f}"
        speeds = _speeds(row, found)
        table.add_row(mark, row.id, size, figure, agreement, *speeds, memory, f"{row.load_ms:.0f}", limits)
    for seen in found.emulated:
        cost = f"{formatting.millions(seen.instructions_per_inference)} instructions per inference on {seen.cpu}"
        asked = f"{seen.test_items} of {seen.test_items_of} items"
        size, share = f"{seen.file_bytes / 1e6:.2f}", f"{seen.agreement_with_student:.4f}"
        blank = ["-"] * (len(names) - 6)
        table.add_row(
            "", seen.id, size, formatting.metric(seen.test.value), share, *blank, f"emulated: {cost}, {asked}"
        )
    for other in found.unmeasured:
        table.add_row("", other.id, *["-"] * (len(names) - 3), f"[yellow]{other.state}[/]: {escape(other.reason)}")
    paces = (
        "latency" if found.prompt_tokens is None else ", ".join((*(speed.words for speed in found.speeds), "memory"))
    )
    table.caption = f"> chosen   * on the Pareto front of {found.metric_in_words}, {paces} and size"
    if found.prompt_tokens is not None:
        table.caption += f"; speed: medians with prompts of {found.prompt_tokens} tokens"
    return table


def _speed_names(found: Results) -> tuple[str, ...]:
    """The task's own speed figures, or the latency of one inference."""
    if found.prompt_tokens is None:
        return "p50 ms", "p95 ms"
    return tuple(f"{speed.words}, {speed.unit}" for speed in found.speeds)


def _speeds(row: CandidateResult, found: Results) -> tuple[str, ...]:
    if found.prompt_tokens is None:
        return ms(row.latency_ms.p50), ms(row.latency_ms.p95)
    own = (speed_at(row, speed.name, found.prompt_tokens) for speed in found.speeds)
    return tuple("-" if speed is None or speed.p50 is None else formatting.pace(speed.p50) for speed in own)


def brief(row: CandidateResult) -> list[str]:
    return [
        formatting.metric(row.test.value),
        ms(row.latency_ms.p50),
        ms(row.latency_ms.p95),
        f"{row.file_bytes / 1e6:.2f}",
    ]


def _diagnosed(value: object) -> str:
    if isinstance(value, dict):
        if "versions" in value:
            return "installed: " + ", ".join(f"{name} {version}" for name, version in value["versions"].items())
        if value["installed"]:
            return f"in a separate environment, {value['environment']}"
        missing = ("missing " + ", ".join(value["missing"])).strip()
        return f"[yellow]{missing}[/]: {escape(str(value['install']))}"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _inside(model: ModelEstimate) -> tuple[str, str]:
    """Heads, key-value heads and feed-forward neurons of a planned model's layers."""
    if model.heads is None:
        return ("?", "?") if model.layers is None else ("-", "-")
    shared = "" if model.key_value_heads == model.heads else f"/{model.key_value_heads}"
    return f"{model.heads}{shared}", "-" if model.intermediate_size is None else str(model.intermediate_size)


def _reasons(planned: PlannedRun) -> str:
    """Why some estimates are missing."""
    found = dict.fromkeys(one.without for one in planned.plan.estimates if one.without is not None)
    return escape("; ".join(found))


def _plain(value: object) -> str:
    return "?" if value is None else str(value)


def _number(value: int | None, unit: float, digits: int, suffix: str = "") -> str:
    return "?" if value is None else f"{value / unit:.{digits}f}{suffix}"
