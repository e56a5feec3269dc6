"""Runs a plan: order, skipping, atomic publishing, one writer a run folder, and the context of a failure."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from . import artifacts
from .artifacts import Artifact, Failure, Manifest
from .errors import StepError, UserError
from .machine import versions
from .planning import Plan
from .progress import Progress
from .step import Context, Step


def find_done(plan: Plan, run_folder: Path, *, verify_hashes: bool = False) -> dict[str, Artifact]:
    """The plan's steps that need not run again, by name: their artifact is there and whole, and what failed before it
    fails no otherwise now."""
    there: dict[str, Artifact] = {}
    for step in plan.steps:
        if (artifact := _on_disk(step, run_folder, verify_hashes)) is not None:
            there[step.name] = artifact
    return {
        step.name: there[step.name]
        for step in plan.steps
        if step.name in there and not there[step.name].manifest.failures and _fits(there[step.name], step, there)
    }


def execute(
    plan: Plan,
    run_folder: Path,
    progress: Progress,
    *,
    verify_hashes: bool = False,
    tried: set[str] | None = None,
) -> dict[str, Artifact]:
    """Run every step that isn't done and return all artifacts by step name.

    An optional step that fails, or whose input failed, is recorded as that, and tried again by the next run: a package
    may have been installed since.

    Args:
        tried: keys of the steps that this run has tried already; added to.

    Raises:
        UserError: another process works in this run folder.
        StepError: a step failed that is not optional; what was done before stays.
    """
    (run_folder / "steps").mkdir(parents=True, exist_ok=True)
    tried = set() if tried is None else tried
    done: dict[str, Artifact] = {}
    with _only_writer(run_folder):
        for number, step in enumerate(plan.steps):
            artifact = _on_disk(step, run_folder, verify_hashes)
            retry = artifact is not None and artifact.manifest.failures and step.key not in tried
            if artifact is not None and not retry and _fits(artifact, step, done):
                done[step.name] = artifact
                progress.event("skipped", step=step.name, key=step.short_key)
                continue
            done[step.name] = _execute_step(number, len(plan.steps), step, done, run_folder, progress)
            tried.add(step.key)
        if len(done) and not any((run_folder / "scratch").glob("*")):
            shutil.rmtree(run_folder / "scratch", ignore_errors=True)
    return done


def _on_disk(step: Step, run_folder: Path, verify_hashes: bool) -> Artifact | None:
    """The step's artifact, when it is there and none of its files is damaged."""
    for folder in sorted(run_folder.glob(f"steps/[0-9]*-{step.name}-{step.short_key}")):
        artifact = artifacts.read(folder, verify_hashes=verify_hashes)
        if artifact is not None and artifact.manifest.key == step.key:
            return artifact
    return None


def _flaws(step: Step, known: Mapping[str, Artifact]) -> dict[str, str]:
    """By role, what is missing in the step's inputs."""
    inputs = {role: known[name].flaw for role, name in step.inputs.items() if name in known}
    return {role: flaw for role, flaw in inputs.items() if flaw is not None}


def _fits(artifact: Artifact, step: Step, known: Mapping[str, Artifact]) -> bool:
    """Whether it was made of what its inputs are now; whole inputs are told apart by the key already."""
    return dict(artifact.manifest.flawed_inputs) == _flaws(step, known)


def _execute_step(
    number: int, total: int, step: Step, done: Mapping[str, Artifact], run_folder: Path, progress: Progress
) -> Artifact:
    final = run_folder / "steps" / f"{number:02d}-{step.name}-{step.short_key}"
    partial = final.with_name(f"{final.name}.partial")
    scratch = run_folder / "scratch" / f"{step.name}-{step.short_key}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    scratch.mkdir(parents=True, exist_ok=True)
    inputs = {role: done[name] for role, name in step.inputs.items()}
    progress.event("started", step=step.name, key=step.short_key)
    progress.say(f"[{number + 1}/{total}] {step.name}: {step.summary}")
    context = Context(scratch, progress)
    begun = time.monotonic()
    try:
        if not step.optional or (failure := _failed_input(inputs)) is None:
            import_module(f"edgedistill.steps.{step.kind}").run(step.settings, inputs, partial, context)
        else:
            context.failures[step.name] = failure
            progress.say(f"      {step.name}: {failure.state}, as what it needs")
    except KeyboardInterrupt:
        progress.event("interrupted", step=step.name, seconds=round(time.monotonic() - begun, 3))
        shutil.rmtree(partial, ignore_errors=True)
        raise
    except Exception as error:
        progress.event("failed", step=step.name, error=str(error), notes=getattr(error, "__notes__", []))
        shutil.rmtree(partial, ignore_errors=True)
        if not step.optional:
            raise StepError(step.name, [inputs[role].folder.name for role in inputs], error) from error
        partial.mkdir()
        context.failures[step.name] = Failure.of(error)
        progress.say(f"      {step.name}: {Failure.of(error).state}: {Failure.of(error).reason}")
    finally:
        progress.stop()
    seconds = time.monotonic() - begun
    manifest = Manifest(
        step=step.name,
        kind=step.kind,
        key=step.key,
        settings=step.settings.model_dump(mode="json", by_alias=True),
        inputs={role: artifact.manifest.key for role, artifact in inputs.items()},
        files=artifacts.file_entries(partial),
        versions=versions(),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        seconds=round(seconds, 3),
        peak_rss_mb=round(_peak_rss_mb(), 1),
        failures=context.failures,
        flawed_inputs=_flaws(step, done),
    )
    artifact = artifacts.publish(partial, final, manifest)
    shutil.rmtree(scratch, ignore_errors=True)
    if artifact.failure is None:
        progress.event("finished", step=step.name, seconds=manifest.seconds, peak_rss_mb=manifest.peak_rss_mb)
        progress.say(f"      {step.name}: done in {seconds:.1f} s")
    return artifact


def _failed_input(inputs: Mapping[str, Artifact]) -> Failure | None:
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


@contextmanager
def _only_writer(run_folder: Path) -> Iterator[None]:
    """Hold the run folder's lock; the operating system frees it when the process dies, however it dies."""
    from filelock import FileLock, Timeout

    lock, holder = run_folder / ".lock", run_folder / ".lock.holder"
    try:
        with FileLock(lock, timeout=0):
            holder.write_text(f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
            yield
            holder.unlink(missing_ok=True)
    except Timeout:
        who = holder.read_text() if holder.is_file() else "another process"
        raise UserError(
            f"{run_folder} is in use by {who}; wait for it, or give this run another folder with --out"
        ) from None
