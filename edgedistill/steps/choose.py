"""Applies the limits to the figures on validation, and chooses."""

from __future__ import annotations

from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.evaluation.selection import Figures, Primary, choose
from edgedistill.steps.kinds.choose import Chosen, Inputs, Settings
from edgedistill.store.step import Context


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Chosen:
    """Publish nothing but the record."""
    metric = registry.task(settings.task.type).judge(settings.task).metrics[settings.task.metric]
    teacher = inputs.teacher.record.value
    figures = []
    for row in settings.candidates:
        seen = inputs.measured.record.candidates.get(row.id)
        if seen is None:
            continue
        verified = inputs.verified[row.verify_key].record
        agreement = verified.fidelity.agreement if row.batch == 1 else verified.agreement_batched
        assert agreement is not None, "files that take one item at a time are refused a batch"
        assert seen.latency_ms.p50 is not None, "a candidate is timed often enough for the median"
        figures.append(
            Figures(
                id=row.id,
                value=verified.value,
                drop=metric.gain(teacher, verified.value),
                file_mb=seen.file_bytes / 1e6,
                p50_ms=seen.latency_ms.p50,
                p95_ms=seen.latency_ms.p95,
                peak_rss_mb=seen.peak_rss_mb,
                load_ms=seen.load_ms,
                agreement=agreement,
            )
        )
    primary = Primary(metric.name, metric.direction)
    return Chosen(choice=choose(figures, settings.select, settings.min_agreement, primary))
