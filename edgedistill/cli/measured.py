"""Printed results of `measure`, for a model file and for a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.cli.console import escape, ms, standard_output
from edgedistill.evaluation.wording import in_words
from edgedistill.report import formatting

if TYPE_CHECKING:
    from edgedistill.bundling.measurement import DeviceMeasurement
    from edgedistill.measuring.file_measurement import FileMeasurement


def measurement(found: FileMeasurement) -> None:
    """One file's figures."""
    console = standard_output()
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


def measurement_facts(found: FileMeasurement) -> dict[str, object]:
    """One file's figures as data."""
    return asdict(found) | {"figures": [figure.model_dump() for figure in found.figures]}


def device_measurement(found: DeviceMeasurement, file: Path) -> None:
    """A bundle that passed its test."""
    console = standard_output()
    latency, golden = found.latency_ms, found.golden
    worst = "-" if golden.max_abs_diff is None else f"{golden.max_abs_diff:.2g}"
    rows = {
        "bundle": f"{found.candidate} of {found.recipe} ({found.file_bytes / 1e6:.2f} MB)",
        "machine": found.place,
        "runtime": f"{found.runtime} {found.runtime_version}, {found.threads} thread(s), batch {found.batch}",
        "golden": f"all {golden.items} golden inputs agree (largest difference {worst}, allowed "
        f"{golden.tolerance:.2g}); token ids: {golden.tokens}"
        + (f"; continuations: {golden.continued} of {golden.continued_of} tokens" if golden.continued_of else ""),
    }
    if latency is None:
        rows |= _not_timed(found)
    else:
        rows |= {
            "latency": f"p50 {ms(latency.p50)}  p90 {ms(latency.p90)}  p95 {ms(latency.p95)}  "
            f"p99 {ms(latency.p99)} ms, {latency.runs} runs",
            **{f"prompt {own.tokens}": _paced(own.model_dump()["speeds"]) for own in found.prompts},
            "load": f"{formatting.fixed(found.load_ms, 1)} ms",
            "peak memory": "-" if found.peak_rss_mb is None else f"{found.peak_rss_mb:.1f} MB beyond an empty process",
        }
    rows["results"] = f"{file}"
    for name, text in rows.items():
        console.print(f"[bold]{name:<12}[/] {escape(text)}", highlight=False, soft_wrap=True)


def _cost(found: FileMeasurement) -> dict[str, str]:
    """Times and memory, or a substitute if there are none."""
    if found.latency_ms is None or found.throughput_per_s is None:
        return _not_timed(found)
    latency = found.latency_ms
    return {
        "latency": f"p50 {ms(latency['p50'])}  p90 {ms(latency['p90'])}  p95 {ms(latency['p95'])}  "
        f"p99 {ms(latency['p99'])} ms, {latency['runs']} runs",
        "throughput": f"{found.throughput_per_s:.1f} items/s",
        "load": f"{formatting.fixed(found.load_ms, 1)} ms",
        "peak memory": "-" if found.peak_rss_mb is None else f"{found.peak_rss_mb:.1f} MB beyond an empty process",
    }


def _paced(speeds: Mapping[str, object]) -> str:
    """Figures of speed on prompts of one length: `ttft_ms p50 3.20 p95 4.10`."""
    told = ((name, speed) for name, speed in speeds.items() if isinstance(speed, Mapping))
    return "  ".join(f"{name} p50 {ms(speed['p50'])} p95 {ms(speed['p95'])}" for name, speed in told)


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
