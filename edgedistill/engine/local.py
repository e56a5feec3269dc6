"""Runs a plan: order, skipping, atomic publishing, and the context of a failure."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgedistill.errors import EdgedistillError, StepError, is_disk_full
from edgedistill.store import artifacts, roles
from edgedistill.store.artifacts import Failure, Manifest, Published
from edgedistill.store.listing import STEPS, Listing, store_of
from edgedistill.store.progress import Progress
from edgedistill.store.records import base as records
from edgedistill.store.records.base import Record
from edgedistill.store.run_folder import only_writer
from edgedistill.store.step import Context, Step, StepSequence
from edgedistill.store.store import Place, Store
from edgedistill.system import interruption
from edgedistill.system.machine import versions


def find_done(
    plan: StepSequence, run_folder: Path, store: Store, *, verify_hashes: bool = False
) -> dict[str, Published]:
    """The plan's steps that need not run again, by name: an intact artifact exists that was made of what the
    inputs are now. What failed runs again; what reads it need not when it fails as in the last run.
    """
    last = Listing(run_folder, store).folders()
    known: dict[str, Published] = {}
    for step in plan.steps:
        if all(name in known for name in step.sources):
            place = _place(step, known)
            artifact = _found(step, store, place, verify_hashes)
            if artifact is None and step.name in last:
                artifact = _of_place(step, store.read(last[step.name], verify_hashes=verify_hashes), place)
            if artifact is not None:
                known[step.name] = artifact
    return {name: artifact for name, artifact in known.items() if not artifact.manifest.failures}


def execute(
    plan: StepSequence,
    run_folder: Path,
    progress: Progress,
    *,
    store: Store | None = None,
    verify_hashes: bool = False,
    tried: dict[str, Published] | None = None,
) -> dict[str, Published]:
    """Run every step that isn't done and return all artifacts by step name.

    An optional step that fails, or whose input failed, is recorded as that, and tried again by the next run: a package
    may have been installed since. A step that another process is making is waited for and taken from it.

    Args:
        store: where artifacts are; unless given, the one that the run folder remembers, or its own.
        tried: what this run has made so far, by its place: what failed is not tried again; added to.

    Raises:
        UserError: another process works in this run folder.
        StepError: a step failed that is not optional; what was done before stays.
    """
    (run_folder / STEPS).mkdir(parents=True, exist_ok=True)
    store = store_of(run_folder) if store is None else store
    listing = Listing(run_folder, store)
    tried = {} if tried is None else tried
    done: dict[str, Published] = {}
    with only_writer(run_folder):
        listing.clear()
        for number, step in enumerate(plan.steps):
            interruption.check()
            place = _place(step, done)
            artifact = _found(step, store, place, verify_hashes) or tried.get(place.name)
            if artifact is None:
                with store.only_maker(place, _Waiting(step, progress)):
                    artifact = _found(step, store, place, verify_hashes)  # another process may have made it by now
                    if artifact is None:
                        progress.say(f"[{number + 1}/{len(plan.steps)}] {step.name}: {step.summary}")
                        artifact = tried[place.name] = _execute_step(step, done, store, progress)
            if place.name not in tried:
                progress.event("skipped", step=step.name, key=step.short_key)
            done[step.name] = artifact
            listing.add(number, step.name, artifact)
    return done


@dataclass
class _Waiting:
    """Says once that another process makes a step, and ends when this one is asked to."""

    step: Step
    progress: Progress
    said: bool = False

    def __call__(self) -> None:
        interruption.check()
        if not self.said:
            self.said = True
            self.progress.event("waiting", step=self.step.name, key=self.step.short_key)
            self.progress.say(
                f"{self.step.name}: waiting for another process that is running this step in the same store"
            )


def _place(step: Step, known: Mapping[str, Published]) -> Place:
    """The key says what the inputs were to be made of, not their bytes; the place says both."""
    return Place(step.key, {role: known[read.step].manifest.content for role, read in step.reads.items()})


def _found(step: Step, store: Store, place: Place, verify_hashes: bool) -> Published | None:
    """The artifact of that place, whole and with the record of a step of this kind."""
    artifact = store.find(place, verify_hashes=verify_hashes)
    return artifact if artifact is not None and _has_record(artifact, step) else None


def _has_record(artifact: Published, step: Step) -> bool:
    """Whether it says of itself what a step of this kind says; what failed says nothing."""
    return artifact.failure is not None or records.read(step.kind.record, artifact.folder) is not None


def _of_place(step: Step, artifact: Published | None, place: Place) -> Published | None:
    """The artifact, if it belongs to that place, though it may have failed there."""
    if artifact is None or Place(artifact.manifest.key, artifact.manifest.input_contents) != place:
        return None
    return artifact if _has_record(artifact, step) else None


def _execute_step(step: Step, done: Mapping[str, Published], store: Store, progress: Progress) -> Published:
    place = _place(step, done)
    partial, scratch = store.begin(place), store.scratch(place)
    inputs = {role: done[read.step] for role, read in step.reads.items()}
    progress.event("started", step=step.name, kind_of_step=step.kind.name, key=step.short_key)
    context = Context(scratch, progress)
    begun = time.monotonic()
    try:
        if not step.optional or (failure := _failed_input(inputs)) is None:
            given = roles.resolved(step.inputs, lambda planned: done[planned.step])
            _publish_record(step.kind.load()(step.settings, given, partial, context), step, partial)
        else:
            context.failures[step.name] = failure
            progress.say(f"      {step.name}: {failure.state}, since an input is")
    except Exception as error:
        with suppress(OSError):
            progress.event("failed", step=step.name, error=str(error), notes=getattr(error, "__notes__", []))
        shutil.rmtree(partial, ignore_errors=True)
        if not step.optional or is_disk_full(error):
            raise StepError(
                step.name, [f"{read.step} {read.key[:12]}" for read in step.reads.values()], error
            ) from error
        partial.mkdir()
        context.failures[step.name] = Failure.of(error)
        progress.say(f"      {step.name}: {Failure.of(error).state}: {Failure.of(error).reason}")
    except BaseException:  # a signal, or Ctrl-C
        with suppress(OSError):
            progress.event("interrupted", step=step.name, seconds=round(time.monotonic() - begun, 3))
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
        input_contents=place.input_contents,
    )
    artifact = store.publish(partial, manifest)
    shutil.rmtree(scratch, ignore_errors=True)
    if artifact.failure is None:
        progress.event(
            "finished",
            step=step.name,
            kind_of_step=step.kind.name,
            seconds=manifest.seconds,
            peak_rss_mb=manifest.peak_rss_mb,
        )
        progress.say(f"      {step.name}: done in {seconds:.1f} s")
    return artifact


def _publish_record(record: Record, step: Step, folder: Path) -> None:
    """Write what a step says of its work, once that is found to be what its kind declares.

    Raises:
        EdgedistillError: a record of another type, or one that names a file that isn't there: a mistake in the step.
    """
    if type(record) is not step.kind.record:
        raise EdgedistillError(
            f"the step returned a {type(record).__name__}, expected the {step.kind.record.__name__} that its kind "
            "declares"
        )
    if missing := [name for name in records.files_in(record) if not (folder / name).exists()]:
        raise EdgedistillError(f"the step's record names {missing[0]!r}, which it did not write")
    records.write(record, folder)


def _failed_input(inputs: Mapping[str, Published]) -> Failure | None:
    return next((artifact.failure for artifact in inputs.values() if artifact.failure is not None), None)


def _peak_rss_mb() -> float:
    """Peak resident memory of this process so far, in 10^6 bytes."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return float(getattr(psutil.Process().memory_info(), "peak_wset", 0)) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if platform.system() == "Darwin" else 1024) / 1e6
