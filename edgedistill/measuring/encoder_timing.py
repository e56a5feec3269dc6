"""Measures encoders of one and two layers: exported with random weights in another process by the exporter of every
candidate, and timed like candidates, interleaved."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edgedistill.arrays import Floats
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.file_kind import FileKind
from edgedistill.device.files import Component
from edgedistill.errors import EdgedistillError
from edgedistill.exporting.jobs import WHOLE
from edgedistill.exporting.trial_encoders import Trial, Wanted, as_given, inputs_of, trial_file
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.measuring.encoder_times import DEPTHS, RUNTIME, LayerShape, LayerTimes, Setup, Times
from edgedistill.measuring.latency import Timed, Timing, time_models
from edgedistill.models.meta_sizes import Request
from edgedistill.store.progress import Progress, ProgressState
from edgedistill.system import process
from edgedistill.system.machine import available_cores, busy

_PASSES = 10
"""Over all encoders, as `time_models` makes them."""
_MIN_SECONDS = 1.0
"""Of each encoder on each length; short, since there are many, and both depths are interleaved."""


@dataclass(frozen=True)
class Missing:
    """Encoders to measure."""

    requests: Mapping[LayerShape, Request]
    """A model with such layers for each shape, from which the trials are made."""
    setups: Sequence[Setup]


def measure_encoders(missing: Missing, progress: Progress) -> dict[tuple[LayerShape, Setup], LayerTimes]:
    """The times of every shape in every setup; without those that cannot be exported or run, with a warning each."""
    found: dict[tuple[LayerShape, Setup], LayerTimes] = {}
    with TemporaryDirectory(prefix="edgedistill-") as name:
        folder = Path(name)
        made, setups = _export(missing, folder, progress)
        progress.say(f"timing {len(made)} shapes of layers")
        if (load := busy()) is not None:
            progress.warn(
                f"the machine is busy (a load of {load:.1f} on {available_cores()} cores), so times are too long: run "
                "suggest --refresh when it is idle"
            )
        progress.start("encoders timed", len(made))
        for number, shape in enumerate(made, 1):
            try:
                found |= {(shape, setup): times for setup, times in _time(made[shape], setups[shape]).items()}
            except EdgedistillError as error:
                progress.warn(f"no times of {_words(shape)}: {error}")
            progress.advance(ProgressState("encoders timed", number, len(made)))
        progress.stop()
    return found


def _export(
    missing: Missing, folder: Path, progress: Progress
) -> tuple[dict[LayerShape, dict[int, Path]], dict[LayerShape, list[Setup]]]:
    """Folders of the files by shape and depth, and the setups whose files are there."""
    kinds = list(dict.fromkeys(setup.kind for setup in missing.setups))
    places = {
        (shape, layers): folder / f"{number}-{layers}"
        for number, shape in enumerate(missing.requests)
        for layers in DEPTHS
    }
    wanted = Wanted(
        kinds=[as_given(kind) for kind in kinds],
        longest=max(setup.tokens for setup in missing.setups),
        trials=[
            Trial(request=missing.requests[shape], layers=layers, folder=str(place))
            for (shape, layers), place in places.items()
        ],
    )
    progress.say(f"exporting {len(places)} encoders of {' and '.join(map(str, DEPTHS))} layers with random weights")
    progress.start("encoders exported", len(places))
    reasons: dict[tuple[LayerShape, FileKind], str] = {}
    with _exporting(wanted, folder / "exporting.log") as answers:
        for number, ((shape, _), answer) in enumerate(zip(places, answers, strict=True), 1):
            own = zip(kinds, answer, strict=True)
            reasons |= {(shape, kind): reason for kind, reason in own if reason is not None}
            progress.advance(ProgressState("encoders exported", number, len(places)))
    progress.stop()
    for (shape, kind), reason in reasons.items():
        progress.warn(f"no times of {_words(shape)} in {kind.words}: {reason}")
    setups = {
        shape: [setup for setup in missing.setups if (shape, setup.kind) not in reasons] for shape in missing.requests
    }
    folders = {shape: {layers: places[shape, layers] for layers in DEPTHS} for shape, own in setups.items() if own}
    return folders, setups


@contextmanager
def _exporting(wanted: Wanted, log: Path) -> Iterator[Iterator[list[str | None]]]:
    """The answers of the process that exports them, one by one.

    Raises:
        EdgedistillError: it died.
    """
    request = log.with_suffix(".json")
    request.write_text(json.dumps(wanted), encoding="utf-8")
    with (
        request.open(encoding="utf-8") as given,
        log.open("w", encoding="utf-8") as told,
        subprocess.Popen(
            process.python(Path(sys.executable), "-m", "edgedistill.exporting.trial_encoders"),
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            env=process.environment(),
        ) as child,
    ):
        assert child.stdout is not None
        try:
            yield (json.loads(line) for line in child.stdout)
        except ValueError as error:
            words = " ".join(log.read_text(encoding="utf-8", errors="replace").split())[-300:]
            raise EdgedistillError(f"the process that exports encoders ended: {words or error}") from error
        finally:
            child.kill()


def _time(folders: Mapping[int, Path], setups: Sequence[Setup]) -> dict[Setup, LayerTimes]:
    """Both depths in every setup, interleaved.

    Raises:
        EdgedistillError: one cannot be run.
    """
    lengths = sorted({setup.tokens for setup in setups})
    folder = next(iter(folders.values()))
    inputs = {length: folder / f"inputs-{length}.safetensors" for length in lengths}
    for length, file in inputs.items():
        inputs_of(length).save(file)
    runs = dict.fromkeys((setup.kind, setup.threads, setup.batch) for setup in setups)
    timed = {
        (run, layers): Timed(
            f"{number}-{layers}",
            _model(trial_file(place, run[0])),
            threads=run[1],
            batch=run[2],
            inputs=inputs[lengths[0]],
            prompts={length: inputs[length] for length in lengths[1:]},
        )
        for number, run in enumerate(runs)
        for layers, place in folders.items()
    }
    seen = time_models(list(timed.values()), folder, Progress(), min_seconds=_MIN_SECONDS)
    if seen.failed:
        raise next(iter(seen.failed.values()))
    by_depth = {key: _by_length(seen.seen[own.id], lengths[0]) for key, own in timed.items()}
    return {
        setup: LayerTimes(*(by_depth[run, layers][setup.tokens] for layers in DEPTHS))
        for setup in setups
        for run in [(setup.kind, setup.threads, setup.batch)]
    }


def _model(file: Path) -> DeviceModel:
    return DeviceModel({WHOLE: Component({None: file}, PortNames(outputs=("logits",)))}, RUNTIME, "text-classification")


def _by_length(timing: Timing, first: int) -> dict[int, Times]:
    samples = {first: timing.samples_ms}
    for length, phases in timing.prompts_ms.items():
        samples[length] = tuple(map(sum, zip(*phases.values(), strict=True)))
    return {length: percentiles(own) for length, own in samples.items()}


def percentiles(samples: Sequence[float] | Floats) -> Times:
    """Of all runs in order; p95 is the lower quartile of that of each pass, since other work makes passes slower and
    none faster."""
    passes = [np.percentile(part, 95) for part in np.array_split(np.array(samples), _PASSES)]
    return Times(float(np.median(samples)), float(np.percentile(passes, 25)))


def _words(shape: LayerShape) -> str:
    return f"{shape.architecture} layers of {shape.hidden_size} x {shape.intermediate_size}"
