"""Exports one target's files of a model in one precision, from PyTorch or from the files of another precision."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pydantic import JsonValue, TypeAdapter

from edgedistill.contracts import registry
from edgedistill.contracts.driver import Driver
from edgedistill.contracts.precision import BLOCK
from edgedistill.contracts.target import Target
from edgedistill.data.prepared import PreparedData
from edgedistill.device.files import Files
from edgedistill.exporting.files import buckets_up_to, part_name, read_files
from edgedistill.exporting.jobs import ExportJob, Part, run_job
from edgedistill.isolation import environments
from edgedistill.measuring.child import Child
from edgedistill.measuring.judged import some_examples
from edgedistill.spec import Spec
from edgedistill.steps.kinds.make_file import Inputs, Settings
from edgedistill.store.records.base import FileName
from edgedistill.store.records.files import MadeComponent, MadeFiles, OpenedFile, ShapeChecked
from edgedistill.store.step import Context
from edgedistill.training.probing import special_tokens

_SAMPLES = 64


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> MadeFiles:
    """Publish the files."""
    job = export_job(settings, inputs, folder, context)
    return record_of(settings, job, make(job, settings.timeout_minutes, context))


def export_job(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> ExportJob:
    """The files to write into a folder, with the inputs they are made from in the scratch folder."""
    exporter = registry.target(settings.target)
    task = registry.task(settings.task)
    file_name = _file_name(exporter, settings.precision)
    data = PreparedData.of(inputs.data)
    driver: Driver = importlib.import_module(task.device).DRIVER
    items = data.items("validation")
    longest_ones = np.sort(np.argsort(-items.lengths, kind="stable")[:_SAMPLES])
    items.take(longest_ones).save(context.scratch / "samples.safetensors")
    calibration = None
    if settings.calibration is not None:
        calibration = context.scratch / "calibration.safetensors"
        seen = data.items(settings.calibration.from_)
        seen.take(some_examples(seen, settings.calibration.take)).save(calibration)
    longest = data.max_length if task.data.tokens else int(items.lengths.max())
    lengths: tuple[int | None, ...] = (None,)
    if settings.buckets is not None:
        lengths = buckets_up_to(longest, settings.buckets) if task.data.tokens else (longest,)
    source = read_files(inputs.source).opened if inputs.source is not None else None
    parts = [
        Part(
            component,
            length,
            str(folder / part_name(file_name, component if len(driver.components) > 1 else None, length)),
            _source(source, component, length),
        )
        for component in driver.components
        for length in lengths
    ]
    # No text is empty, so there is at least one token besides the special tokens.
    around = special_tokens(data.load_tokenizer(), "text_pair" in data.columns)
    shortest = min(around + 1, data.max_length)
    return ExportJob(
        target=settings.target,
        exporter=registry.reference("exporters", settings.target),
        precision=settings.precision,
        task=registry.reference("tasks", settings.task),
        model=str(inputs.model.path(inputs.model.record.model)),
        samples=str(context.scratch / "samples.safetensors"),
        calibration=str(calibration) if calibration is not None else None,
        max_length=longest,
        only_length=None if task.data.tokens else longest,
        fixed=settings.buckets is not None,
        files=tuple(parts),
        min_length=shortest,
        parts=None if settings.parts is None else settings.parts.by_name(),
        block=settings.block or BLOCK,
        method=settings.calibration.method if settings.calibration is not None else None,
    )


def record_of(settings: Settings, job: ExportJob, made: Sequence[Told]) -> MadeFiles:
    """The record of the files that a job made."""
    task = registry.task(settings.task)
    driver: Driver = importlib.import_module(task.device).DRIVER
    facts = {**made[-1].facts, **_bytes_by_part(made)}
    if task.data.tokens and job.min_length > 1:
        facts["min_length"] = job.min_length
    return MadeFiles(
        components={name: _component(name, driver, job.files, made) for name in driver.components},
        build_files=tuple(FileName(name) for file in made for name in file.build_files),
        checks=tuple(file.checks for file in made),
        facts=facts,
    )


def _file_name(exporter: Target, precision: str) -> str:
    how = exporter.precision(precision)
    assert how is not None, "others are refused"
    return how.file


class Told(Spec):
    """An exporter's record of its file."""

    inputs: tuple[str, ...]
    checks: tuple[ShapeChecked, ...]
    build_files: tuple[str, ...]
    facts: Mapping[str, JsonValue]


def make(job: ExportJob, timeout_minutes: float, context: Context) -> list[Told]:
    """Export in this process if the exporter allows it, otherwise in a child process, with its output in a log."""
    import sys

    exporter = registry.target(job.target)
    python = environments.interpreter(exporter.packages)
    if not exporter.isolated and python == Path(sys.executable):
        return _told(run_job(job))
    with Child(
        context.scratch / "making.log",
        python=python,
        modules=(job.exporter, job.task),
        timeout_seconds=60 * timeout_minutes,
    ) as child:
        answer = child.ask("make", job=asdict(job))
    return _told(answer["made"])


def _bytes_by_part(made: Sequence[Told]) -> dict[str, JsonValue]:
    """Of all files together, if the exporter tells."""
    found = [TypeAdapter(dict[str, int]).validate_python(told.facts.get("bytes_by_part", {})) for told in made]
    if not all(found):
        return {}
    return {"bytes_by_part": {part: sum(one[part] for one in found) for part in found[0]}}


def _told(made: object) -> list[Told]:
    return TypeAdapter(list[Told]).validate_json(json.dumps(made))


def _source(files: Files | None, component: str, length: int | None) -> str | None:
    """The source of a file: that of the same bucket, or the only one."""
    if files is None:
        return None
    own = files[component].files
    return str(own[length] if length in own else own[None])


def _component(name: str, driver: Driver, parts: Sequence[Part], made: Sequence[Told]) -> MadeComponent:
    """A component's entry in the record."""
    own = [(part, told) for part, told in zip(parts, made, strict=True) if part.component == name]
    return MadeComponent(
        files=tuple(OpenedFile(length=part.length, file=FileName(Path(part.file).name)) for part, _ in own),
        inputs=own[0][1].inputs,
        outputs=tuple(driver.outputs[name]),
    )
