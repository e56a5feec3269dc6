"""Makes one target's files of a model in one precision, from torch or from the files of another precision."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import environments, plugins
from edgedistill.device.files import ComponentJson, Files
from edgedistill.exporting import Order, Part, fill
from edgedistill.measuring.child import Child
from edgedistill.measuring.judged import some_examples
from edgedistill.model_files import buckets_up_to, part_name, read_files, write_record
from edgedistill.recipe import Calibration
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from edgedistill.contracts.driver import Driver
    from edgedistill.contracts.target import Target

VERSION = 3

_SAMPLES = 64


class Settings(Spec):
    """What to make."""

    task: str
    target: str
    precision: str
    buckets: tuple[int, ...] | None
    """None for a target whose files take every length."""
    calibration: Calibration | None
    timeout_minutes: float


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish the files, and `file.json`: which is for which length, how far from torch, and what the exporter says."""
    from edgedistill.data import PreparedData
    from edgedistill.probing import special_tokens

    exporter = plugins.target(settings.target)
    task = plugins.task(settings.task)
    how = exporter.precisions[settings.precision]
    data = PreparedData.of(inputs)
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
    source = read_files(inputs["source"]).opened if "source" in inputs else None
    parts = [
        Part(
            component,
            length,
            str(folder / part_name(how.file, component if len(driver.components) > 1 else None, length)),
            _source(source, component, length),
        )
        for component in driver.components
        for length in lengths
    ]
    # No text is empty, so there is a token besides those that the tokenizer puts around it.
    around = special_tokens(data.load_tokenizer(), "text_pair" in data.columns)
    shortest = min(around + 1, data.max_length)
    order = Order(
        target=settings.target,
        exporter=plugins.reference("exporters", settings.target),
        precision=settings.precision,
        task=plugins.reference("tasks", settings.task),
        model=str(inputs["model"].path("model")),
        samples=str(context.scratch / "samples.safetensors"),
        calibration=str(calibration) if calibration is not None else None,
        max_length=longest,
        only_length=None if task.data.tokens else longest,
        fixed=settings.buckets is not None,
        files=tuple(parts),
        min_length=shortest,
    )
    made = _make(order, exporter, settings.timeout_minutes, context)
    write_record(
        folder,
        {name: _component(name, driver, parts, made) for name in driver.components},
        build_files=[name for each in made for name in _list(each["build_files"])],
        checks=[each["checks"] for each in made],
        facts={
            **_mapping(made[-1]["facts"]),
            **({"min_length": shortest} if task.data.tokens and shortest > 1 else {}),
        },
    )


def _make(order: Order, exporter: Target, timeout_minutes: float, context: Context) -> list[dict[str, object]]:
    """In this process when the exporter may run in it, else in a child, whose last words stay in a log."""
    import sys

    python = environments.interpreter(exporter.packages)
    if not exporter.isolated and python == Path(sys.executable):
        return fill(order)
    with Child(
        context.scratch / "making.log",
        python=python,
        modules=(order.exporter, order.task),
        timeout_seconds=60 * timeout_minutes,
    ) as child:
        answer = child.ask("make", order=asdict(order))
    made = answer["made"]
    assert isinstance(made, list)
    return made


def _source(files: Files | None, component: str, length: int | None) -> str | None:
    """What a file is made of: that of the same bucket, or the one for all."""
    if files is None:
        return None
    own = files[component].files
    return str(own[length] if length in own else own[None])


def _component(name: str, driver: Driver, parts: Sequence[Part], made: Sequence[Mapping[str, object]]) -> ComponentJson:
    """What the record says of a component: its files, by names inside the folder, and what they take and give."""
    own = [(part, told) for part, told in zip(parts, made, strict=True) if part.component == name]
    return ComponentJson(
        files=[(part.length, Path(part.file).name) for part, _ in own],
        inputs=_list(own[0][1]["inputs"]),
        outputs=list(driver.outputs[name]),
    )


def _mapping(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, Mapping) else {}


def _list(value: object) -> list[str]:
    return list(value) if isinstance(value, list | tuple) else []
