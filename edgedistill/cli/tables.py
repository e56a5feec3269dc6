"""Output of the command line: tables for people, JSON for programs. Numbers are rounded only here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.errors import UserError
from edgedistill.evaluation.wording import heading, in_words
from edgedistill.exporting.candidates import makeable_candidates
from edgedistill.report import formatting
from edgedistill.report.pace import speed_at

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from edgedistill.api import FileMeasurement, PlannedRun, RunSummary
    from edgedistill.bundling.measurement import DeviceMeasurement
    from edgedistill.bundling.merge import DeviceRow, MachineFront
    from edgedistill.evaluation.results import CandidateResult, Results
    from edgedistill.planning.estimates import ModelEstimate


def results(found: Results) -> None:
    """Warnings, rounds, candidates, the choice and the path of the report."""
    console = _console()
    for warning in found.warnings:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False)
    console.print(_rounds(found))
    console.print(_candidates(found))
    console.print(f"[bold]{'ship' if found.chosen else 'nothing to ship'}:[/] {found.why}", highlight=False)


def plan(planned: PlannedRun) -> None:
    """Steps and models."""
    console = _console()
    steps = _table(f"{planned.plan.recipe.name} in {planned.folder}", "", "step", "key", "what", right=())
    for step in planned.plan.steps:
        mark = "[green]done[/]" if step.name in planned.done else "to do"
        steps.add_row(mark, step.name, step.short_key, step.summary)
    console.print(steps)
    precisions = [quantization.precision for quantization in planned.plan.recipe.quantize]
    names = ("model", "from", "layers", "hidden", "heads", "neurons", "parameters", *(f"{n} MB" for n in precisions))
    models = _table("models", *names, right=range(2, len(names)))
    for model in planned.plan.models:
        sizes = [_number(model.file_bytes[name], 1e6, 1) for name in precisions]
        about = "" if model.exact or model.parameters is None else "~"
        parameters = about + _number(model.parameters, 1e6, 2, " M")
        shape = (_plain(model.layers), _plain(model.hidden_size), *_inside(model))
        models.add_row(model.id, model.origin, *shape, parameters, *sizes)
    console.print(models)
    refused = [row for row in planned.plan.candidates if row.refused is not None]
    for row in refused:
        console.print(f"[yellow]refused[/] {row.id}: {_escape(row.refused or '')}", highlight=False)
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
        "models": [asdict(model) for model in planned.plan.models],
        "candidates": [row.id for row in makeable_candidates(planned.plan.candidates)],
        "refused": {row.id: row.refused for row in planned.plan.candidates if row.refused is not None},
    }


def recipes(files: Mapping[str, Path]) -> None:
    """Name of each recipe and its first comment line, except the one for editors."""
    console = _console()
    for name, file in files.items():
        lines = file.read_text(encoding="utf-8").splitlines()
        first = next(line for line in lines if not line.startswith("# yaml-language-server:"))
        console.print(f"[bold]{name:<18}[/] {first.removeprefix('# ')}", highlight=False)


def measurement(found: FileMeasurement) -> None:
    """One file's figures."""
    console = _console()
    asked = f"{found.items} items" if found.items == found.items_of else f"{found.items} of {found.items_of} items"
    rows = {
        "file": f"{found.file} ({found.file_bytes / 1e6:.2f} MB)",
        "runtime": f"{found.runtime}, {found.threads} thread(s), batch {found.batch}",
        **(
            {in_words(figure.metric): f"{formatting.estimate(figure)} on {asked}" for figure in found.figures}
            or {"metric": "- (the data has no labels)"}
        ),
        **_cost(found),
        **{f"prompt {tokens}": _paced(speeds) for tokens, speeds in found.prompts.items()},
        "backend": _said(found.backend),
        **{name: _said(facts) for name, facts in found.client.items()},
    }
    for name, text in rows.items():
        console.print(f"[bold]{name:<12}[/] {text}", highlight=False, soft_wrap=True)


def _cost(found: FileMeasurement) -> dict[str, str]:
    """Times and memory, or a substitute if there are none."""
    if found.latency_ms is None or found.throughput_per_s is None:
        return _not_timed(found)
    latency = found.latency_ms
    return {
        "latency": f"p50 {_ms(latency['p50'])}  p90 {_ms(latency['p90'])}  p95 {_ms(latency['p95'])}  "
        f"p99 {_ms(latency['p99'])} ms, {latency['runs']} runs",
        "throughput": f"{found.throughput_per_s:.1f} items/s",
        "load": f"{formatting.fixed(found.load_ms, 1)} ms",
        "peak memory": "-" if found.peak_rss_mb is None else f"{found.peak_rss_mb:.1f} MB beyond an empty process",
    }


def _paced(speeds: Mapping[str, object]) -> str:
    """Figures of speed on prompts of one length: `ttft_ms p50 3.20 p95 4.10`."""
    told = ((name, speed) for name, speed in speeds.items() if isinstance(speed, Mapping))
    return "  ".join(f"{name} p50 {_ms(speed['p50'])} p95 {_ms(speed['p95'])}" for name, speed in told)


def _not_timed(found: FileMeasurement | DeviceMeasurement) -> dict[str, str]:
    """An emulated runtime's figures instead of times."""
    return {
        "instructions": f"{formatting.millions(found.instructions_per_inference)} per inference, mean over "
        f"{found.counted_inputs} inputs",
        "latency": "not timed: the runtime is emulated",
    }


def _said(facts: object) -> str:
    """Facts in one line: `provider wasm, download_bytes (runtime 14314404, model 17901446)`."""
    if not isinstance(facts, Mapping):
        return ", ".join(map(str, facts)) if isinstance(facts, list) else str(facts)
    shown = {name: f"({_said(value)})" if isinstance(value, Mapping) else _said(value) for name, value in facts.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def measurement_facts(found: FileMeasurement) -> dict[str, object]:
    """One file's figures as data."""
    return asdict(found) | {"figures": [figure.model_dump() for figure in found.figures]}


def device_measurement(found: DeviceMeasurement, file: Path) -> None:
    """A bundle that passed its test."""
    console = _console()
    latency, golden = found.latency_ms, found.golden
    worst = "-" if golden.max_abs_diff is None else f"{golden.max_abs_diff:.2g}"
    rows = {
        "bundle": f"{found.candidate} of {found.recipe} ({found.file_bytes / 1e6:.2f} MB)",
        "machine": found.place,
        "runtime": f"{found.runtime} {found.runtime_version}, {found.threads} thread(s), batch {found.batch}",
        "golden": f"all {golden.items} golden inputs agree (largest difference {worst}, allowed "
        f"{{golden.tolerance:.2g}}); token ids: {golden.tokens}",
    }
    if latency is None:
        rows |= _not_timed(found)
    else:
        rows |= {
            "latency": f"p50 {_ms(latency.p50)}  p90 {_ms(latency.p90)}  p95 {_ms(latency.p95)}  "
            f"p99 {_ms(latency.p99)} ms, {latency.runs} runs",
            "load": f"{formatting.fixed(found.load_ms, 1)} ms",
            "peak memory": "-" if found.peak_rss_mb is None else f"{found.peak_rss_mb:.1f} MB beyond an empty process",
        }
    rows["results"] = f"{file}"
    for name, text in rows.items():
        console.print(f"[bold]{name:<12}[/] {_escape(text)}", highlight=False, soft_wrap=True)


def fronts(found: Sequence[MachineFront]) -> None:
    """One table per machine, since latencies of different machines must not be compared."""
    rows = [row for front in found for row in front.rows]
    metric = next((heading(row.validation.metric, row.validation.direction) for row in rows), "metric")
    names = (
        "",
        "candidate",
        "measured by",
        "threads",
        "MB",
        metric,
        "p50 ms",
        "p95 ms",
        "RSS MB",
        "load ms",
        "golden",
    )
    for front in found:
        table = _table(front.machine, *names, right=range(3, 10))
        for row in front.rows:
            table.add_row("*" if row.on_pareto_front else "", row.id, row.measured_by, *_device_row(row))
        table.caption = f"* on this machine's Pareto front of {metric}, latency and size"
        _console().print(table)


def _device_row(row: DeviceRow) -> list[str]:
    latency = row.latency_ms
    return [
        str(row.threads),
        f"{row.file_bytes / 1e6:.2f}",
        "-" if row.test is None else formatting.metric(row.test.value),
        _ms(latency.p50 if latency else None),
        _ms(latency.p95 if latency else None),
        "-" if row.peak_rss_mb is None else f"{row.peak_rss_mb:.1f}",
        "-" if row.load_ms is None else f"{row.load_ms:.0f}",
        _escape(row.golden),
    ]


def fronts_facts(found: Sequence[MachineFront]) -> list[dict[str, object]]:
    """The Pareto fronts as data."""
    facts: list[dict[str, object]] = []
    for front in found:
        rows = [
            asdict(row)
            | {
                "latency_ms": row.latency_ms.model_dump() if row.latency_ms else None,
                "test": row.test.model_dump() if row.test else None,
                "validation": row.validation.model_dump(),
            }
            for row in front.rows
        ]
        facts.append({"machine": front.machine, "rows": rows})
    return facts


def comparison(summaries: Sequence[RunSummary]) -> None:
    """One row per run."""
    metric = summaries[0].results.metric
    alike = all(summary.results.metric == metric for summary in summaries)
    names = (
        "run",
        "teacher",
        "chosen",
        heading(metric, summaries[0].results.direction) if alike else "metric",
        "p50 ms",
        "p95 ms",
        "MB",
        "gain over the first run, same examples",
    )
    table = _table("chosen candidates", *names, right=(1, 3, 4, 5, 6))
    for summary in summaries:
        row = summary.results.candidate(summary.results.chosen) if summary.results.chosen else None
        figures = ["-"] * 4 if row is None else _brief(row)
        table.add_row(
            summary.run,
            formatting.metric(summary.results.teacher.test.value),
            summary.results.chosen or "-",
            *figures,
            _against(summary),
        )
    _console().print(table)


def comparison_facts(summaries: Sequence[RunSummary]) -> list[dict[str, object]]:
    """The comparison as data."""
    return [
        {
            "run": summary.run,
            "results": summary.results.model_dump(mode="json", by_alias=True),
            "difference_from_first": asdict(summary.difference_from_first) if summary.difference_from_first else None,
        }
        for summary in summaries
    ]


def diagnosis(found: Mapping[str, object]) -> None:
    """What is installed and what is missing."""
    console = _console()
    for section, content in found.items():
        if not isinstance(content, dict):
            text = (", ".join(content) or "none") if isinstance(content, list) else str(content)
            console.print(f"[bold]{section:<12}[/] {text}", highlight=False)
            continue
        console.print(f"[bold]{section}[/]")
        for name, value in content.items():
            console.print(f"  {name:<16} {_diagnosed(value)}", highlight=False, soft_wrap=True)


def pairs(given: Sequence[str], flag: str) -> dict[str, str]:
    """`name=value` flags as a mapping.

    Raises:
        UserError: a flag without '='.
    """
    for pair in given:
        if "=" not in pair:
            raise UserError(f"{flag} {pair}: expected NAME=VALUE")
    return dict(pair.split("=", 1) for pair in given)


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
    table = _table("models, on test", *names, right=range(2, 8))
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
    table = _table(f"candidates: {found.metric_in_words} on test", *names, right=range(2, len(names) - 1))
    for row in found.measured:
        mark = "[green]>[/]" if row.id == found.chosen else ("*" if row.on_pareto_front else "")
        figure, *_, size = _brief(row)
        memory = "-" if row.peak_rss_mb is None else f"{row.peak_rss_mb:.1f}"
        limits = "within" if row.within_limits else "; ".join(row.blocked_by)
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
        table.add_row("", other.id, *["-"] * (len(names) - 3), f"[yellow]{other.state}[/]: {_escape(other.reason)}")
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
        return _ms(row.latency_ms.p50), _ms(row.latency_ms.p95)
    own = (speed_at(row, speed.name, found.prompt_tokens) for speed in found.speeds)
    return tuple("-" if speed is None or speed.p50 is None else formatting.pace(speed.p50) for speed in own)


def _brief(row: CandidateResult) -> list[str]:
    return [
        formatting.metric(row.test.value),
        _ms(row.latency_ms.p50),
        _ms(row.latency_ms.p95),
        f"{row.file_bytes / 1e6:.2f}",
    ]


def _against(summary: RunSummary) -> str:
    paired = summary.difference_from_first
    if paired is None:
        return ""
    return f"{paired.gain:+.4f} [{paired.interval.low:+.4f}, {paired.interval.high:+.4f}] p {paired.p:.3g}"


def _diagnosed(value: object) -> str:
    if isinstance(value, dict):
        if "versions" in value:
            return "installed: " + ", ".join(f"{name} {version}" for name, version in value["versions"].items())
        if value["installed"]:
            return f"in a separate environment, {value['environment']}"
        missing = ("missing " + ", ".join(value["missing"])).strip()
        return f"[yellow]{missing}[/]: {_escape(str(value['install']))}"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _escape(text: str) -> str:
    """Escape brackets, which are markup otherwise."""
    from rich.markup import escape

    return escape(text)


def _ms(value: object) -> str:
    return "-" if value is None else f"{float(str(value)):.2f}"


def _inside(model: ModelEstimate) -> tuple[str, str]:
    """Heads, key-value heads and feed-forward neurons of a planned model's layers."""
    if model.heads is None:
        return ("?", "?") if model.layers is None else ("-", "-")
    shared = "" if model.key_value_heads == model.heads else f"/{model.key_value_heads}"
    return f"{model.heads}{shared}", "-" if model.intermediate_size is None else str(model.intermediate_size)


def _plain(value: object) -> str:
    return "?" if value is None else str(value)


def _number(value: int | None, unit: float, digits: int, suffix: str = "") -> str:
    return "?" if value is None else f"{value / unit:.{digits}f}{suffix}"


def _table(title: str, *columns: str, right: Sequence[int]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number in right else "left", overflow="fold")
    return table


def _console() -> Console:
    """Standard output; not limited in width unless it is a terminal, so that logs are not truncated."""
    import sys

    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=180)
