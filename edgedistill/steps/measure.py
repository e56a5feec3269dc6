"""Measures all candidates: predictions on test item by item, then interleaved latency, load time, peak memory, size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.contracts.items import Items
from edgedistill.contracts.task import Task
from edgedistill.contracts.task_spec import TaskSpec
from edgedistill.data.prepared import PreparedData
from edgedistill.device.generation import GREEDY
from edgedistill.errors import EdgedistillError
from edgedistill.exporting.candidates import Candidate
from edgedistill.exporting.files import read_files, tokenizer_bytes
from edgedistill.measuring.device_model import DeviceModel, Opened
from edgedistill.measuring.latency import Timed, Timing, Timings, summary_of, time_models
from edgedistill.measuring.prompts import PromptFiles, longest_prompt, speeds_of, write_prompts
from edgedistill.measuring.samples import beginnings_of, samples_of
from edgedistill.steps.kinds.measure import Inputs, Settings
from edgedistill.store.artifacts import Failure
from edgedistill.store.records.base import FileName, plain
from edgedistill.store.records.files import Latency, Measured, Measurement, Percentiles, PromptMeasurement
from edgedistill.store.records.samples import Sample
from edgedistill.store.step import Context
from edgedistill.system.machine import describe, versions

_REFERENCES = FileName("test/references.safetensors")


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Measured:
    """Publish `test/`: every file's answers and the references, by model if decisions are tokens.

    Earlier failures are left out; failures here are recorded, and the other candidates continue.
    """
    task = registry.task(settings.task.type)
    rows = [row for row in settings.candidates if inputs.verified[row.verify_key].failure is None]
    (folder / "test").mkdir()
    items = _test_sets(settings, inputs, task, folder)
    files = {row.file_key: read_files(inputs.files[row.file_key]) for row in rows}
    timeout_seconds = 60 * settings.measure.timeout_minutes
    models = {
        row.id: DeviceModel(files[row.file_key].opened, row.runtime, settings.task.type, timeout_seconds)
        for row in rows
    }
    answered = _ask(rows, models, items, settings, inputs, folder, context)
    prompts = _prompts(settings, inputs, items, context.scratch)
    timings = _time([row for row in rows if row.id not in answered.failed], models, items, prompts, settings, context)
    for name, cause in (answered.failed | dict(timings.failed)).items():
        context.failures[name] = Failure.of(cause)
        context.progress.say(f"      {name}: {context.failures[name].state}: {context.failures[name].reason}")
    return Measured(
        candidates={
            row.id: _measurement(
                timings.seen[row.id],
                task,
                file_bytes=files[row.file_key].bytes,
                tokenizer_bytes=tokenizer_bytes(task, row.target, PreparedData.of(inputs.data[row.model])),
                too_long=prompts[row.model].too_long,
            )
            for row in rows
            if row.id in timings.seen
        },
        answers=answered.files,
        references=_REFERENCES,
        environment=plain({**describe(), "versions": versions()}),
        samples=answered.samples,
    )


def _test_sets(settings: Settings, inputs: Inputs, task: Task, folder: Path) -> dict[str, Items]:
    """By model, the test set in its tokens; the right answers are published."""
    found: dict[str, Items] = {}
    for model in dict.fromkeys(row.model for row in settings.candidates):
        found[model] = PreparedData.of(inputs.data[model]).items("test")
        references = task.data.references(found[model])
        if task.data.sequences is not None:  # decisions are tokens, and models may have different tokenizers
            references.save(folder / f"test/references-{model}.safetensors")
        references.save(folder / _REFERENCES)
    return found


@dataclass
class _Answered:
    """What files answered, by their name under a runtime."""

    files: dict[str, FileName] = field(default_factory=dict)
    samples: dict[str, tuple[Sample, ...]] = field(default_factory=dict)
    failed: dict[str, EdgedistillError] = field(default_factory=dict)
    """By candidate."""


def _ask(
    rows: Sequence[Candidate],
    models: Mapping[str, DeviceModel],
    items: Mapping[str, Items],
    settings: Settings,
    inputs: Inputs,
    folder: Path,
    context: Context,
) -> _Answered:
    """Have every file answer the test set; once for the candidates that differ in threads or batch alone."""
    found = _Answered()
    for key in dict.fromkeys(row.verify_key for row in rows):
        row = next(row for row in rows if row.verify_key == key)
        file = FileName(f"test/{key}.safetensors")
        try:
            with models[row.id].opened(context.scratch) as opened:
                opened.answers(items[row.model]).save(folder / file)
                samples = _samples(settings.task, PreparedData.of(inputs.data[row.model]), opened)
        except EdgedistillError as error:
            found.failed |= {row.id: error for row in rows if row.verify_key == key}
            continue
        found.files[str(key)] = file
        if samples:
            found.samples[str(key)] = samples
        context.progress.say(f"      {row.model} {row.target} {row.precision}: ran the test set under {row.runtime}")
    return found


def _time(
    rows: Sequence[Candidate],
    models: Mapping[str, DeviceModel],
    items: Mapping[str, Items],
    prompts: Mapping[str, PromptFiles],
    settings: Settings,
    context: Context,
) -> Timings:
    """Time these candidates in turns, on the test set and on prompts."""
    given = {model: context.scratch / f"inputs-{model}.safetensors" for model in items}
    for model, file in given.items():
        items[model].save(file)
    lengths = settings.measure.lengths
    return time_models(
        [
            Timed(row.id, models[row.id], row.threads, row.batch, given[row.model], prompts[row.model].files)
            for row in rows
        ],
        context.scratch,
        context.progress,
        min_seconds=settings.measure.min_seconds,
        length=None if lengths == "as_is" else lengths,
    )


def _samples(spec: TaskSpec, data: PreparedData, opened: Opened) -> tuple[Sample, ...]:
    """A file's continuations of a few prefixes; empty for most tasks."""
    task = registry.task(spec.type)
    if task.samples is None:
        return ()
    asked = beginnings_of(task, data, "test", spec)
    said = [opened.say(prompt, asked.count, (), GREEDY) for prompt in asked.tokens]
    return samples_of(task, data, asked, said)


def _prompts(settings: Settings, inputs: Inputs, items: Mapping[str, Items], scratch: Path) -> dict[str, PromptFiles]:
    """Prompts on which each model's files are timed in addition; empty for most tasks."""
    task = registry.task(settings.task.type)
    if task.prompts is None:
        return {model: PromptFiles() for model in items}
    most = max(row.batch for row in settings.candidates)
    found = {}
    for model, own in items.items():
        artifact = inputs.models[model]
        longest = longest_prompt(task, artifact.path(artifact.record.model))
        place = scratch / f"prompts-{model}"
        found[model] = write_prompts(task.prompts, own, settings.measure.prompts, longest, most, place)
    return found


def _measurement(
    timing: Timing, task: Task, *, file_bytes: int, tokenizer_bytes: int | None, too_long: tuple[int, ...]
) -> Measurement:
    return Measurement(
        latency_ms=_latency(timing.summary()),
        phases_ms={phase: _latency(summary) for phase, summary in timing.phases().items()},
        throughput_per_s=timing.throughput_per_s,
        load_ms=timing.load_ms,
        peak_rss_mb=timing.peak_rss_mb,
        empty_mb=timing.empty_mb,
        runtime_version=timing.runtime_version,
        file_bytes=file_bytes,
        samples_ms=_rounded(timing.samples_ms),
        passes=timing.passes,
        prompts=tuple(_of_prompts(task, tokens, phases) for tokens, phases in timing.prompts_ms.items()),
        prompts_too_long=too_long,
        tokenizer_bytes=tokenizer_bytes,
    )


def _of_prompts(task: Task, tokens: int, phases: Mapping[str, tuple[float, ...]]) -> PromptMeasurement:
    import numpy as np

    assert task.prompts is not None, "these are timed for its figures"
    return PromptMeasurement(
        tokens=tokens,
        phases_ms={phase: _latency(summary_of(np.array(samples))) for phase, samples in phases.items()},
        speeds={
            name: Percentiles.model_validate_json(json.dumps(summary))
            for name, summary in speeds_of(task.prompts.speeds, phases).items()
        },
        samples_ms={phase: _rounded(samples) for phase, samples in phases.items()},
    )


def _rounded(samples: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(sample, 4) for sample in samples)


def _latency(summary: dict[str, object]) -> Latency:
    return Latency.model_validate_json(json.dumps(summary))
