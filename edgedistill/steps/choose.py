"""Applies the limits to the figures on validation, and chooses."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.candidates import Candidate
from edgedistill.recipe import SelectSpec, TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

VERSION = 3


class Settings(Spec):
    """Limits, preference, and the agreement below which a file is not shipped."""

    task: TaskSpec
    select: SelectSpec
    min_agreement: float
    candidates: tuple[Candidate, ...]


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `choice.json`: chosen, why, and each candidate's verdict."""
    from edgedistill.select import Figures, Primary, choose

    metric = plugins.task(settings.task.type).judge.metrics[settings.task.metric]
    measured = inputs["measure"].read_json("measurements.json")
    teacher = float(str(inputs["evaluate:teacher"].read_json("accuracy.json")["validation"]))
    figures = []
    for row in settings.candidates:
        if row.id not in measured:
            continue
        fidelity = inputs[f"verify:{row.verify_key}"].read_json("fidelity.json")
        seen = measured[row.id]
        assert isinstance(seen, dict)
        value = float(str(fidelity["accuracy"]))
        figures.append(
            Figures(
                id=row.id,
                value=value,
                drop=metric.gain(teacher, value),
                file_mb=seen["file_bytes"] / 1e6,
                p50_ms=seen["latency_ms"]["p50"],
                p95_ms=seen["latency_ms"]["p95"],
                peak_rss_mb=seen["peak_rss_mb"],
                load_ms=seen["load_ms"],
                agreement=float(str(fidelity["agreement" if row.batch == 1 else "agreement_batched"])),
            )
        )
    primary = Primary(metric.name, metric.direction)
    write_json(folder / "choice.json", asdict(choose(figures, settings.select, settings.min_agreement, primary)))
