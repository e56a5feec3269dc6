"""Measures all candidates: accuracy on test item by item, then latency in turns, load time, peak memory, size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.candidates import Candidate
from edgedistill.recipe import MeasureSpec, TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from edgedistill.interfaces import Integers

VERSION = 1


class Settings(Spec):
    """The candidates and how they are timed."""

    task: TaskSpec
    measure: MeasureSpec
    candidates: tuple[Candidate, ...]


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `measurements.json` (summaries, raw samples) and `test/` (rows of every file, labels)."""
    from edgedistill.data import PreparedData
    from edgedistill.inference import references
    from edgedistill.measuring.latency import Timed, answers, time_files
    from edgedistill.steps.verify import model_file

    task = plugins.find("tasks", settings.task.type)
    given: dict[str, Path] = {}
    labels: Integers = np.zeros(0, dtype=np.int64)
    for model in dict.fromkeys(row.round for row in settings.candidates):
        given[model] = context.scratch / f"inputs-{model}.safetensors"
        tokens = PreparedData(inputs[f"data:{model}"].folder).tokens("test")
        tokens.save(given[model])
        labels = references(task, tokens)  # the same for all: only the tokens differ
    files = {row.file_key: model_file(inputs[f"file:{row.file_key}"].folder) for row in settings.candidates}
    (folder / "test").mkdir()
    write_json(folder / "test" / "references.json", {"labels": labels.tolist()})
    answered: set[str] = set()
    for row in settings.candidates:
        if row.verify_key not in answered:
            answered.add(row.verify_key)
            output = folder / "test" / f"{row.verify_key}.safetensors"
            answers(files[row.file_key], row.runtime, given[row.round], output, settings.task.type, context.scratch)
            context.progress.say(f"      {row.round} {row.precision}: answered the test set under {row.runtime}")
    timings = time_files(
        [
            Timed(row.id, files[row.file_key], row.runtime, row.threads, row.batch, given[row.round])
            for row in settings.candidates
        ],
        context.scratch,
        context.progress,
        min_seconds=settings.measure.min_seconds,
        length=None if settings.measure.lengths == "as_is" else settings.measure.lengths,
    )
    write_json(
        folder / "measurements.json",
        {
            timing.id: {
                "latency_ms": timing.summary(),
                "throughput_per_s": timing.throughput_per_s,
                "load_ms": timing.load_ms,
                "peak_rss_mb": timing.peak_rss_mb,
                "empty_mb": timing.empty_mb,
                "runtime_version": timing.runtime_version,
                "file_bytes": files[row.file_key].stat().st_size,
                "samples_ms": [round(sample, 4) for sample in timing.samples_ms],
            }
            for row, timing in zip(settings.candidates, timings, strict=True)
        },
    )
