"""Applies the limits to the validation figures, and chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.evaluation.beside_fp32 import BesideFp32
from edgedistill.evaluation.file_checks import faults
from edgedistill.evaluation.selection import Figures, Primary, Prompted, choose
from edgedistill.evaluation.speed_up import speed_up
from edgedistill.exporting.candidates import Candidate, fp32_counterpart
from edgedistill.steps.kinds.choose import Chosen, Inputs, Settings
from edgedistill.store.records.files import Measurement
from edgedistill.store.step import Context


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Chosen:
    """Publish only the record."""
    task = registry.task(settings.task.type)
    own = task.judge(settings.task)
    metric = own.metrics[settings.task.metric]
    every = inputs.measured.record.candidates
    tokens = longest_common_prompt([every[row.id] for row in settings.candidates if row.id in every])
    teacher = inputs.teacher.record.value
    figures = []
    for row in settings.candidates:
        seen = every.get(row.id)
        if seen is None:
            continue
        verified = inputs.verified[row.verify_key].record
        searched = inputs.searched.get(row.file_key)
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
                agreement=verified.agreement_at(row.batch),
                shipped_mb=(seen.file_bytes + (seen.tokenizer_bytes or 0)) / 1e6,
                speeds=_speeds(seen, tokens),
                beside=_beside_fp32(row, settings.candidates, every),
                search_failed=searched.record.search.blocked if searched is not None else None,
                faults=faults(own, row.precision, verified.checks, verified.texts_read),
            )
        )
    primary = Primary(metric.name, metric.direction)
    prompted = Prompted(task.prompts.speeds if task.prompts is not None else (), tokens)
    choice = choose(figures, settings.select, settings.min_agreement, primary, prompted)
    beside = {found.id: found.beside for found in figures if found.beside is not None}
    return Chosen(choice=choice, prompt_tokens=tokens, beside_fp32=beside)


def _beside_fp32(row: Candidate, rows: Sequence[Candidate], measured: Mapping[str, Measurement]) -> BesideFp32 | None:
    """A quantized candidate beside its fp32 counterpart, if the run measured that."""
    fp32 = fp32_counterpart(row, rows)
    if fp32 is None or fp32.id not in measured:
        return None
    own, other = measured[row.id], measured[fp32.id]
    return BesideFp32(
        precision=row.precision,
        fp32=fp32.id,
        speed_up=speed_up(own.by_pass, other.by_pass),
        file_mb=own.file_bytes / 1e6,
        fp32_mb=other.file_bytes / 1e6,
    )


def longest_common_prompt(measured: Sequence[Measurement]) -> int | None:
    """The longest prompt in tokens on which all were timed, or None."""
    lengths = [{prompt.tokens for prompt in measurement.prompts} for measurement in measured]
    return max(set.intersection(*lengths), default=None) if lengths else None


def _speeds(seen: Measurement, tokens: int | None) -> dict[str, float]:
    """Medians at that length."""
    own = next((prompt.speeds for prompt in seen.prompts if prompt.tokens == tokens), {})
    return {name: found.p50 for name, found in own.items() if found.p50 is not None}
