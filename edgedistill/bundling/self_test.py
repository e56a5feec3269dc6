"""Tests and measures a bundle on this machine. Needs numpy and the runtime's packages, no torch, no transformers."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import __version__, environments, plugins
from edgedistill.bundling.golden import Golden, first_wrong
from edgedistill.bundling.layout import TOKENIZER, Bundle, describe_unlisted, open_bundle
from edgedistill.bundling.measurement import MEASUREMENT_SCHEMA, DeviceMeasurement, GoldenResult
from edgedistill.emulation.cpus import DEFAULT_CPU
from edgedistill.errors import UserError
from edgedistill.interfaces import MODEL_INPUTS
from edgedistill.machine import describe
from edgedistill.measuring.instructions import Cost, count_instructions, emulated, refuse_options
from edgedistill.measuring.latency import Answering, Timed, answers, time_files
from edgedistill.progress import Progress
from edgedistill.signals import load_rows

if TYPE_CHECKING:
    from edgedistill.interfaces import Rows
    from edgedistill.measuring.latency import Timing

_SHOWN = 60


@dataclass(frozen=True)
class Asked:
    """How to measure; None: as the run did."""

    runtime: str | None
    threads: int | None
    batch: int | None
    min_seconds: float
    emulated_cpu: str | None = None


def examine(folder: Path, asked: Asked, progress: Progress) -> DeviceMeasurement:
    """Check the sha256 of every file, the token ids and outputs of every golden input, then time the golden inputs, or
    count their instructions where the runtime is emulated.

    Raises:
        UserError: not a bundle, a malformed one, a runtime that doesn't open its files or isn't installed, or options
            that it lacks.
        EdgedistillError: a file is missing or changed, or cannot be run.
    """
    bundle = open_bundle(folder)
    if (unlisted := describe_unlisted(bundle)) is not None:
        progress.say(unlisted)
    facts = bundle.facts
    runtime = _runtime(bundle, asked.runtime)
    refuse_options(runtime, asked.emulated_cpu)
    cpu = (asked.emulated_cpu or DEFAULT_CPU) if emulated(runtime) else None
    threads, batch = asked.threads or facts.threads, asked.batch or facts.batch
    if cpu is not None and threads > 1:
        raise UserError(f"measure: {runtime} counts the instructions of one thread, got {threads}; give --threads 1")
    golden = bundle.golden
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        given, output = scratch / "inputs.safetensors", scratch / "rows.safetensors"
        golden.ragged(facts.pad_token).save(given)
        backend = answers(Answering(bundle.opened, runtime, facts.task, cpu=cpu), given, output, scratch)
        result = judge(golden, load_rows(output), bundle)
        timing: Timing | None = None
        cost: Cost | None = None
        if result.passed and cpu is not None:
            cost = count_instructions(bundle.opened, runtime, batch, given, cpu, scratch, length=facts.timed_length)
        elif result.passed:
            timed = Timed("bundle", bundle.opened, runtime, threads, batch, given)
            timing = _time(timed, scratch, progress, asked.min_seconds, facts.timed_length)
    seen = timing or cost
    return DeviceMeasurement.model_validate(
        {
            "schema": MEASUREMENT_SCHEMA,
            "edgedistill": __version__,
            **{key: getattr(facts, key) for key in ("recipe", "candidate", "model", "target", "precision")},
            "runtime": runtime,
            "runtime_version": seen.runtime_version if seen else None,
            "threads": threads,
            "batch": batch,
            "device_files": facts.device_files,
            "file_bytes": facts.file_bytes,
            "host": describe(),
            "backend": backend,
            "golden": result,
            "latency_ms": timing.summary() if timing else None,
            "throughput_per_s": timing.throughput_per_s if timing else None,
            "load_ms": timing.load_ms if timing else None,
            "peak_rss_mb": timing.peak_rss_mb if timing else None,
            "emulated_cpu": cpu,
            "instructions_per_inference": cost.instructions_per_inference if cost else None,
            "counted_inputs": cost.inputs if cost else None,
            "date": time.strftime("%Y-%m-%d"),
        }
    )


def judge(golden: Golden, answered: Rows, bundle: Bundle) -> GoldenResult:
    """Every golden input's token ids and outputs against the expected ones."""
    wrong: list[str] = []
    tokens, other = _tokens(golden, bundle)
    worst: float | None = 0.0
    for number, item in enumerate(golden.items):
        rows = np.asarray(answered.values[answered.offsets[number] : answered.offsets[number + 1]], dtype=np.float32)
        expected = golden.rows(number)
        fault = "has other token ids here" if number in other else first_wrong(rows, expected, golden.tolerance)
        if fault is not None:
            text = str(item["text"])
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
            wrong.append(f"golden input {number} ({shown!r}) {fault}")
        comparable = rows.shape == expected.shape and bool(np.isfinite(rows).all())
        worst = max(worst, float(np.abs(rows - expected).max())) if comparable and worst is not None else None
    return GoldenResult(
        items=len(golden.items),
        tolerance=golden.tolerance,
        max_abs_diff=worst,
        passed=not wrong,
        wrong=tuple(wrong),
        tokens=tokens,
    )


def _runtime(bundle: Bundle, asked: str | None) -> str:
    """The runtime to test under."""
    name, target = asked or bundle.facts.runtime, bundle.facts.target
    module = plugins.find("runtimes", name)
    if target not in module.TARGETS:
        known = [each for each in plugins.names("runtimes") if target in plugins.find("runtimes", each).TARGETS]
        raise UserError(f"measure: {name} opens no files of target {target}; expected one of {', '.join(known)}")
    environments.interpreter(module.PACKAGES)
    return name


def _tokens(golden: Golden, bundle: Bundle) -> tuple[str, set[int]]:
    """Whether the texts give the same ids here, and the numbers of those that don't."""
    if bundle.facts.max_length is None:
        return "not checked: no text", set()
    if find_spec("tokenizers") is None:
        return "not checked: the package tokenizers is not installed", set()
    try:
        other = _other_tokens(golden, bundle.folder / TOKENIZER)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of the library, which is no Exception, is the file's as well
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{bundle.folder / TOKENIZER}: cannot be used: {reason}") from None
    return ("other" if other else "same"), other


def _other_tokens(golden: Golden, tokenizer_file: Path) -> set[int]:
    """Numbers of the golden inputs whose texts give other ids to a plain client, which takes the file as it is."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    other = set()
    for number, item in enumerate(golden.items):
        texts = item["given"]
        assert isinstance(texts, list)
        found = tokenizer.encode(*texts)
        ids = dict(zip(MODEL_INPUTS, (found.ids, found.attention_mask, found.type_ids), strict=False))
        if any(ids[name] != item[name] for name in ids if name in item):
            other.add(number)
    return other


def _time(timed: Timed, scratch: Path, progress: Progress, min_seconds: float, length: int | None) -> Timing:
    """One file's timing.

    Raises:
        EdgedistillError: it could not be timed.
    """
    timings = time_files([timed], scratch, progress, min_seconds=min_seconds, length=length)
    if timed.id in timings.failed:
        raise timings.failed[timed.id]
    return timings.seen[timed.id]
