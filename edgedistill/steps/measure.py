"""Measures all candidates: accuracy on test item by item, then latency in turns, load time, peak memory, size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill import plugins
from edgedistill.artifacts import Failure, write_json
from edgedistill.candidates import Candidate
from edgedistill.errors import EdgedistillError
from edgedistill.machine import describe, versions
from edgedistill.model_files import read_files
from edgedistill.recipe import MeasureSpec, TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from edgedistill.contracts.items import Items

VERSION = 5


class Settings(Spec):
    """The candidates and how they are timed."""

    task: TaskSpec
    measure: MeasureSpec
    candidates: tuple[Candidate, ...]


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `measurements.json` (summaries, raw samples), `environment.json` (the machine that measured, and the
    versions there) and `test/` (answers of every file, references).

    What failed before is left out; what fails here is recorded, and the others go on.
    """
    from edgedistill.data import PreparedData
    from edgedistill.measuring.device_model import DeviceModel
    from edgedistill.measuring.latency import Timed, time_models

    task = plugins.task(settings.task.type)
    timeout_seconds = 60 * settings.measure.timeout_minutes
    rows = [row for row in settings.candidates if inputs[f"verify:{row.verify_key}"].failure is None]
    (folder / "test").mkdir()
    given: dict[str, Path] = {}
    items: dict[str, Items] = {}
    for model in dict.fromkeys(row.model for row in settings.candidates):
        given[model] = context.scratch / f"inputs-{model}.safetensors"
        items[model] = PreparedData.of(inputs, f"data:{model}").items("test")
        items[model].save(given[model])
        # The same for all: only the tokens differ.
        task.data.references(items[model]).save(folder / "test" / "references.safetensors")
    files = {row.file_key: read_files(inputs[f"file:{row.file_key}"]) for row in rows}
    models = {
        row.id: DeviceModel(files[row.file_key].opened, row.runtime, settings.task.type, timeout_seconds)
        for row in rows
    }
    failed: dict[str, EdgedistillError] = {}
    for key in dict.fromkeys(row.verify_key for row in rows):
        row = next(row for row in rows if row.verify_key == key)
        try:
            with models[row.id].opened(context.scratch) as opened:
                opened.answers(items[row.model]).save(folder / "test" / f"{key}.safetensors")
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
    write_json(folder / "environment.json", {**describe(), "versions": versions()})
    write_json(
        folder / "measurements.json",
        {
            row.id: {
                "latency_ms": timing.summary(),
                "phases_ms": timing.phases(),
                "throughput_per_s": timing.throughput_per_s,
                "load_ms": timing.load_ms,
                "peak_rss_mb": timing.peak_rss_mb,
                "empty_mb": timing.empty_mb,
                "runtime_version": timing.runtime_version,
                "file_bytes": files[row.file_key].bytes,
                "samples_ms": [round(sample, 4) for sample in timing.samples_ms],
            }
            for row in rows
            if (timing := timings.seen.get(row.id)) is not None
        },
    )
