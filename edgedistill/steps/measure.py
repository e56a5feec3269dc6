"""Measures all candidates: accuracy on test item by item, then latency in turns, load time, peak memory, size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts import registry
from edgedistill.errors import EdgedistillError
from edgedistill.exporting.files import read_files
from edgedistill.steps.kinds.measure import Inputs, Settings
from edgedistill.store.artifacts import Failure
from edgedistill.store.records.base import FileName, plain
from edgedistill.store.records.files import Latency, Measured, Measurement
from edgedistill.store.step import Context
from edgedistill.system.machine import describe, versions

if TYPE_CHECKING:
    from edgedistill.contracts.items import Items
    from edgedistill.measuring.latency import Timing


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Measured:
    """Publish `test/`: answers of every file, and the right ones; by model, where decisions are tokens.

    What failed before is left out; what fails here is recorded, and the others go on.
    """
    from edgedistill.data.prepared import PreparedData
    from edgedistill.measuring.device_model import DeviceModel
    from edgedistill.measuring.latency import Timed, time_models

    task = registry.task(settings.task.type)
    timeout_seconds = 60 * settings.measure.timeout_minutes
    rows = [row for row in settings.candidates if inputs.verified[row.verify_key].failure is None]
    (folder / "test").mkdir()
    references_file = FileName("test/references.safetensors")
    given: dict[str, Path] = {}
    items: dict[str, Items] = {}
    for model in dict.fromkeys(row.model for row in settings.candidates):
        given[model] = context.scratch / f"inputs-{model}.safetensors"
        items[model] = PreparedData.of(inputs.data[model]).items("test")
        items[model].save(given[model])
        references = task.data.references(items[model])
        if task.data.sequences is not None:  # decisions are tokens, of which a model may have its own
            references.save(folder / f"test/references-{model}.safetensors")
        references.save(folder / references_file)
    files = {row.file_key: read_files(inputs.files[row.file_key]) for row in rows}
    models = {
        row.id: DeviceModel(files[row.file_key].opened, row.runtime, settings.task.type, timeout_seconds)
        for row in rows
    }
    answered: dict[str, FileName] = {}
    failed: dict[str, EdgedistillError] = {}
    for key in dict.fromkeys(row.verify_key for row in rows):
        row = next(row for row in rows if row.verify_key == key)
        file = FileName(f"test/{key}.safetensors")
        try:
            with models[row.id].opened(context.scratch) as opened:
                opened.answers(items[row.model]).save(folder / file)
            answered[str(key)] = file
            context.progress.say(
                f"      {row.model} {row.target} {row.precision}: answered the test set under {row.runtime}"
            )
        except EdgedistillError as error:
            failed |= {row.id: error for row in rows if row.verify_key == key}
    timings = time_models(
        [
            Timed(row.id, models[row.id], row.threads, row.batch, given[row.model])
            for row in rows
            if row.id not in failed
        ],
        context.scratch,
        context.progress,
        min_seconds=settings.measure.min_seconds,
        length=None if settings.measure.lengths == "as_is" else settings.measure.lengths,
    )
    for name, cause in (failed | dict(timings.failed)).items():
        context.failures[name] = Failure.of(cause)
        context.progress.say(f"      {name}: {context.failures[name].state}: {context.failures[name].reason}")
    sizes = {row.id: files[row.file_key].bytes for row in rows}
    return Measured(
        candidates={name: _measurement(timing, sizes[name]) for name, timing in timings.seen.items()},
        answers=answered,
        references=references_file,
        environment=plain({**describe(), "versions": versions()}),
    )


def _measurement(timing: Timing, file_bytes: int) -> Measurement:
    return Measurement(
        latency_ms=_latency(timing.summary()),
        phases_ms={phase: _latency(summary) for phase, summary in timing.phases().items()},
        throughput_per_s=timing.throughput_per_s,
        load_ms=timing.load_ms,
        peak_rss_mb=timing.peak_rss_mb,
        empty_mb=timing.empty_mb,
        runtime_version=timing.runtime_version,
        file_bytes=file_bytes,
        samples_ms=tuple(round(sample, 4) for sample in timing.samples_ms),
    )


def _latency(summary: dict[str, object]) -> Latency:
    return Latency.model_validate_json(json.dumps(summary))
