"""Runs a plan: order, skipping, atomic publishing, and the context of a failure."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from . import artifacts, interruption
from .artifacts import Failure, Manifest, Published
from .errors import EdgedistillError, StepError, is_disk_full
from .machine import versions
from .planning import Plan
from .progress import Progress
from .run_folder import SCRATCH, STEPS, keep_checkpoints, only_writer, remove_empty, scratch_of
from .step import Context, Step
from .store import roles
from .store.records import base as records
from .store.records.base import Record


def find_done(plan: Plan, run_folder: Path, *, verify_hashes: bool = False) -> dict[str, Published]:
    """The plan's steps that need not run again, by name: their artifact is there and whole, and was made of what its
    inputs are now."""
    there: dict[str, Published] = {}
    stale: set[str] = set()
    for step in plan.steps:
        if (artifact := _on_disk(step, run_folder, verify_hashes)) is not None:
            there[step.name] = artifact
            if not _fits(artifact, step, there) or stale & step.sources:
                stale.add(step.name)
    return {name: artifact for name, artifact in there.items() if name not in stale and not artifact.manifest.failures}


def execute(
    plan: Plan,
    run_folder: Path,
    progress: Progress,
    *,
    verify_hashes: bool = False,
    tried: set[str] | None = None,
) -> dict[str, Published]:
    """Run every step that isn't done and return all artifacts by step name.

    An optional step that fails, or whose input failed, is recorded as that, and tried again by the next run: a package
    may have been installed since.

    Args:
        tried: keys of the steps that this run has tried already; added to.

    Raises:
        UserError: another process works in this run folder.
        StepError: a step failed that is not optional; what was done before stays.
    """
    (run_folder / STEPS).mkdir(parents=True, exist_ok=True)
    tried = set() if tried is None else tried
    done: dict[str, Published] = {}
    with only_writer(run_folder):
        for number, step in enumerate(plan.steps):
            interruption.check()
            artifact = _on_disk(step, run_folder, verify_hashes)
            retry = artifact is not None and artifact.manifest.failures and step.key not in tried
            if artifact is not None and not retry and _fits(artifact, step, done):
                done[step.name] = artifact
                progress.event("skipped", step=step.name, key=step.short_key)
                continue
            done[step.name] = _execute_step(number, len(plan.steps), step, done, run_folder, progress)
            tried.add(step.key)
        remove_empty(run_folder / SCRATCH)
    return done


def _on_disk(step: Step, run_folder: Path, verify_hashes: bool) -> Published | None:
    """The step's artifact, when it is there and none of its files is damaged."""
    for folder in sorted(run_folder.glob(f"steps/[0-9]*-{step.name}-{step.short_key}")):
        artifact = artifacts.read(folder, verify_hashes=verify_hashes)
        if artifact is not None and artifact.manifest.key == step.key and _has_record(artifact, step):
            return artifact
    return None


def _has_record(artifact: Published, step: Step) -> bool:
    """Whether it says of itself what a step of this kind says; what failed says nothing."""
    return artifact.failure is not None or records.read(step.kind.record, artifact.folder) is not None


def _fits(artifact: Published, step: Step, known: Mapping[str, Published]) -> bool:
    """Whether it was made of what its inputs hold now: the key says what they were to be made of, not their bytes."""
    made_of = artifact.manifest.input_contents
    return all(
        made_of.get(role) == known[read.step].manifest.content
        for role, read in step.reads.items()
        if read.step in known
    )


def _execute_step(
    number: int, total: int, step: Step, done: Mapping[str, Published], run_folder: Path, progress: Progress
) -> Published:
    final = run_folder / STEPS / f"{number:02d}-{step.name}-{step.short_key}"
    partial = artifacts.partial_of(final)
    scratch = run_folder / SCRATCH / scratch_of(step.name, step.short_key)
    partial.mkdir(parents=True)
    scratch.mkdir(parents=True, exist_ok=True)
    inputs = {role: done[read.step] for role, read in step.reads.items()}
    progress.event("started", step=step.name, key=step.short_key)
    progress.say(f"[{number + 1}/{total}] {step.name}: {step.summary}")
    context = Context(scratch, progress)
    begun = time.monotonic()
    try:
        if not step.optional or (failure := _failed_input(inputs)) is None:
            given = roles.resolved(step.inputs, lambda planned: done[planned.step])
            _publish_record(step.kind.load()(step.settings, given, partial, context), step, partial)
        else:
            context.failures[step.name] = failure
            progress.say(f"      {step.name}: {failure.state}, as what it needs")
    except Exception as error:
        with suppress(OSError):
            progress.event("failed", step=step.name, error=str(error), notes=getattr(error, "__notes__", []))
        shutil.rmtree(partial, ignore_errors=True)
        if not step.optional or is_disk_full(error):
            raise StepError(step.name, [inputs[role].folder.name for role in inputs], error) from error
        partial.mkdir()
        context.failures[step.name] = Failure.of(error)
        progress.say(f"      {step.name}: {Failure.of(error).state}: {Failure.of(error).reason}")
    except BaseException:  # a signal, or Ctrl-C
        with suppress(OSError):
            progress.event("interrupted", step=step.name, seconds=round(time.monotonic() - begun, 3))
        shutil.rmtree(partial, ignore_errors=True)
        keep_checkpoints(scratch)
        raise
    finally:
        progress.stop()
    seconds = time.monotonic() - begun
    files = artifacts.file_entries(partial)
    manifest = Manifest(
        step=step.name,
        kind=step.kind.name,
        key=step.key,
        settings=step.settings.model_dump(mode="json", by_alias=True),
        inputs={role: artifact.manifest.key for role, artifact in inputs.items()},
        files=files,
        versions=versions(),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        seconds=round(seconds, 3),
        peak_rss_mb=round(_peak_rss_mb(), 1),
        failures=context.failures,
        content=artifacts.content_of(files, context.failures, step.kind.volatile),
        input_contents={role: artifact.manifest.content for role, artifact in inputs.items()},
    )
    artifact = artifacts.publish(partial, final, manifest)
    for former in final.parent.glob(f"[0-9]*-{step.name}-{step.short_key}"):
        if former != final:  # at another place of an earlier plan, and found not to fit
            shutil.rmtree(former, ignore_errors=True)
    shutil.rmtree(scratch, ignore_errors=True)
    if artifact.failure is None:
        progress.event("finished", step=step.name, seconds=manifest.seconds, peak_rss_mb=manifest.peak_rss_mb)
        progress.say(f"      {step.name}: done in {seconds:.1f} s")
    return artifact


def _publish_record(record: Record, step: Step, folder: Path) -> None:
    """Write what a step says of its work, once that is found to be what its kind declares.

    Raises:
        EdgedistillError: a record of another type, or one that names a file that isn't there: a mistake in the step.
    """
    if type(record) is not step.kind.record:
        raise EdgedistillError(
            f"the step gave a {type(record).__name__}, expected a {step.kind.record.__name__} (as its kind declares)"
        )
    if missing := [name for name in records.files_in(record) if not (folder / name).exists()]:
        raise EdgedistillError(f"the step's record names {missing[0]!r}, which it did not write")
    records.write(record, folder)


def _failed_input(inputs: Mapping[str, Published]) -> Failure | None:
    return next((each.failure for each in inputs.values() if each.failure is not None), None)


def _peak_rss_mb() -> float:
    """Peak resident memory of this process so far."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return float(getattr(psutil.Process().memory_info(), "peak_wset", 0)) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)
