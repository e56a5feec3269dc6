"""Makes one target's files of a model in one precision, from torch or from the files of another precision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue, TypeAdapter

from edgedistill import environments, plugins
from edgedistill.exporting import Order, fill
from edgedistill.measuring.child import Child
from edgedistill.model_files import bucket_name, buckets_up_to, read_files
from edgedistill.ragged import spread
from edgedistill.spec import Spec
from edgedistill.step import Context
from edgedistill.store.handle import Artifact
from edgedistill.store.records.base import FileName
from edgedistill.store.records.files import MadeFiles, OpenedFile, ShapeChecked

from .kinds.make_file import Inputs, Settings

if TYPE_CHECKING:
    from edgedistill.contracts.target import Target

_SAMPLES = 64


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> MadeFiles:
    """Publish the files."""
    from edgedistill.data import PreparedData
    from edgedistill.probing import special_tokens

    exporter = plugins.target(settings.target)
    task = plugins.task(settings.task)
    how = exporter.precisions[settings.precision]
    data = PreparedData.of(inputs.data)
    tokens = data.tokens("validation")
    tokens.take(np.argsort(-tokens.lengths, kind="stable")[:_SAMPLES]).save(context.scratch / "samples.safetensors")
    calibration = None
    if settings.calibration is not None:
        calibration = context.scratch / "calibration.safetensors"
        seen = data.tokens(settings.calibration.from_)
        seen.take(spread(len(seen), settings.calibration.take)).save(calibration)
    longest = data.max_length if task.TOKENS else int(tokens.lengths.max())
    lengths: tuple[int | None, ...] = (None,)
    if settings.buckets is not None:
        lengths = buckets_up_to(longest, settings.buckets) if task.TOKENS else (longest,)
    names = [bucket_name(how.file, length) for length in lengths]
    # No text is empty, so there is a token besides those that the tokenizer puts around it.
    around = special_tokens(data.load_tokenizer(), "text_pair" in data.columns)
    shortest = min(around + 1, data.max_length)
    order = Order(
        target=settings.target,
        exporter=plugins.reference("exporters", settings.target),
        precision=settings.precision,
        task=plugins.reference("tasks", settings.task),
        model=str(inputs.model.path(inputs.model.record.model)),
        samples=str(context.scratch / "samples.safetensors"),
        calibration=str(calibration) if calibration is not None else None,
        max_length=longest,
        only_length=None if task.TOKENS else longest,
        fixed=settings.buckets is not None,
        files=tuple(
            (length, str(folder / name), source)
            for length, name, source in zip(lengths, names, _sources(inputs.source, lengths), strict=True)
        ),
        min_length=shortest,
    )
    made = _make(order, exporter, settings.timeout_minutes, context)
    facts = dict(made[-1].facts)
    if task.TOKENS and shortest > 1:
        facts["min_length"] = shortest
    return MadeFiles(
        opened=tuple(
            OpenedFile(length=length, file=FileName(name)) for length, name in zip(lengths, names, strict=True)
        ),
        build_files=tuple(FileName(name) for each in made for name in each.build_files),
        checks=tuple(each.checks for each in made),
        facts=facts,
    )


class _Told(Spec):
    """What an exporter tells of a file that it made."""

    checks: tuple[ShapeChecked, ...]
    build_files: tuple[str, ...]
    facts: Mapping[str, JsonValue]


def _make(order: Order, exporter: Target, timeout_minutes: float, context: Context) -> list[_Told]:
    """In this process when the exporter may run in it, else in a child, whose last words stay in a log."""
    import sys

    python = environments.interpreter(exporter.packages)
    if not exporter.isolated and python == Path(sys.executable):
        return _told(fill(order))
    with Child(
        context.scratch / "making.log",
        python=python,
        modules=(order.exporter, order.task),
        timeout_seconds=60 * timeout_minutes,
    ) as child:
        answer = child.ask("make", order=asdict(order))
    return _told(answer["made"])


def _told(made: object) -> list[_Told]:
    return TypeAdapter(list[_Told]).validate_json(json.dumps(made))


def _sources(artifact: Artifact[MadeFiles] | None, lengths: tuple[int | None, ...]) -> list[str | None]:
    """The file that each is made of: that of the same bucket, or the one for all."""
    if artifact is None:
        return [None] * len(lengths)
    opened = read_files(artifact).opened
    return [str(opened[length] if length in opened else opened[None]) for length in lengths]
