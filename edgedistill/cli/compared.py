"""What `compare` prints of runs, and of a run beside other machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from edgedistill.cli.console import escape, ms, new_table, standard_output
from edgedistill.cli.tables import brief
from edgedistill.evaluation.wording import heading
from edgedistill.report import formatting

if TYPE_CHECKING:
    from edgedistill.bundling.merge import DeviceRow, MachineFront
    from edgedistill.runs.comparing import RunSummary


def fronts(found: Sequence[MachineFront]) -> None:
    """One table per machine, since latencies of different machines must not be compared."""
    rows = [row for front in found for row in front.rows]
    metric = next((heading(row.validation.metric, row.validation.direction) for row in rows), "metric")
    speeds = list(dict.fromkeys(name for row in rows for name in row.speeds))
    numbers = ("threads", "MB", metric, "p50 ms", "p95 ms", *speeds, "RSS MB", "load ms")
    names = ("", "candidate", "measured by", *numbers, "golden")
    for front in found:
        table = new_table(front.machine, *names, right=range(3, 3 + len(numbers)))
        for row in front.rows:
            table.add_row("*" if row.on_pareto_front else "", row.id, row.measured_by, *_device_row(row, speeds))
        table.caption = f"* on this machine's Pareto front of {metric}, latency and size"
        standard_output().print(table)


def _device_row(row: DeviceRow, speeds: Sequence[str]) -> list[str]:
    latency = row.latency_ms
    return [
        str(row.threads),
        f"{row.file_bytes / 1e6:.2f}",
        "-" if row.test is None else formatting.metric(row.test.value),
        ms(latency.p50 if latency else None),
        ms(latency.p95 if latency else None),
        *(ms(row.speeds.get(name)) for name in speeds),
        "-" if row.peak_rss_mb is None else f"{row.peak_rss_mb:.1f}",
        "-" if row.load_ms is None else f"{row.load_ms:.0f}",
        escape(row.golden),
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
    table = new_table("chosen candidates", *names, right=(1, 3, 4, 5, 6))
    for summary in summaries:
        row = summary.results.candidate(summary.results.chosen) if summary.results.chosen else None
        figures = ["-"] * 4 if row is None else brief(row)
        table.add_row(
            summary.run,
            formatting.metric(summary.results.teacher.test.value),
            summary.results.chosen or "-",
            *figures,
            _against(summary),
        )
    standard_output().print(table)


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


def _against(summary: RunSummary) -> str:
    paired = summary.difference_from_first
    if paired is None:
        return ""
    return f"{paired.gain:+.4f} [{paired.interval.low:+.4f}, {paired.interval.high:+.4f}] p {paired.p:.3g}"
