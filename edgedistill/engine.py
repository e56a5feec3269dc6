"""Runs a plan: order, skipping, atomic publishing, one writer a run folder, and the context of a failure."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import artifacts
from .artifacts import Artifact, Manifest
from .errors import StepError, UserError
from .planning import Plan
from .progress import Progress
from .step import Context, Step

_VERSIONED = (
    "edgedistill",
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "onnx",
    "onnxscript",
    "onnxruntime",
)


def versions() -> dict[str, str]:
    """Versions of what shapes the results, those that are installed."""
    found = {"python": platform.python_version()}
    for package in _VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def find_done(plan: Plan, run_folder: Path, *, verify_hashes: bool = False) -> dict[str, Artifact]:
    """The plan's steps whose artifact is there and whole, by step name."""
    done: dict[str, Artifact] = {}
    for step in plan.steps:
        for folder in sorted(run_folder.glob(f"steps/[0-9]*-{step.name}-{step.short_key}")):
            artifact = artifacts.read(folder, verify_hashes=verify_hashes)
            if artifact is not None and artifact.manifest.key == step.key:
                done[step.name] = artifact
    return done


def execute(plan: Plan, run_folder: Path, progress: Progress, *, verify_hashes: bool = False) -> dict[str, Artifact]:
    """Run every step that isn't done and return all artifacts by step name.

    Raises:
        UserError: another process works in this run folder.
        StepError: a step failed; what was done before stays.
    """
    (run_folder / "steps").mkdir(parents=True, exist_ok=True)
    with _only_writer(run_folder):
        done = find_done(plan, run_folder, verify_hashes=verify_hashes)
        for number, step in enumerate(plan.steps):
            if step.name in done:
                progress.event("skipped", step=step.name, key=step.short_key)
                continue
            done[step.name] = _execute_step(number, len(plan.steps), step, done, run_folder, progress)
        if len(done) and not any((run_folder / "scratch").glob("*")):
            shutil.rmtree(run_folder / "scratch", ignore_errors=True)
    return done


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
    begun = time.monotonic()
    try:
        import_module(f"edgedistill.steps.{step.kind}").run(step.settings, inputs, partial, Context(scratch, progress))
    except KeyboardInterrupt:
        progress.event("interrupted", step=step.name, seconds=round(time.monotonic() - begun, 3))
        shutil.rmtree(partial, ignore_errors=True)
        raise
    except Exception as error:
        progress.event("failed", step=step.name, error=str(error))
        shutil.rmtree(partial, ignore_errors=True)
        raise StepError(step.name, [inputs[role].folder.name for role in inputs], error) from error
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
    )
    artifact = artifacts.publish(partial, final, manifest)
    shutil.rmtree(scratch, ignore_errors=True)
    progress.event("finished", step=step.name, seconds=manifest.seconds, peak_rss_mb=manifest.peak_rss_mb)
    progress.say(f"      {step.name}: done in {seconds:.1f} s")
    return artifact


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
