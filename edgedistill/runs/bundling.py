"""Bundles any candidate of a finished run, from the artifacts behind its results."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from edgedistill.bundling.layout import HASHES, is_bundle
from edgedistill.errors import UserError
from edgedistill.evaluation.results import load_results
from edgedistill.steps import bundle as step
from edgedistill.steps.kinds import bundle as kind
from edgedistill.steps.kinds import report
from edgedistill.store import artifacts, roles
from edgedistill.store.artifacts import Published
from edgedistill.store.listing import Listing, store_of


def bundle_run(run: Path, candidate: str | None, out: Path | None, store: str | Path | None = None) -> Path:
    """Write the bundle under a temporary name, then rename it, replacing an older bundle.

    Args:
        candidate: default: the chosen one.
        out: unless given, `RUN/bundle`, or `RUN/bundle-CANDIDATE` for one that the caller named.
        store: default: the one that the run remembers.

    Raises:
        UserError: the run is not finished or chose nothing, there is no such candidate, or `out` exists and is not a
            bundle.
    """
    results = load_results(run)
    if candidate is None and results.chosen is None:
        raise UserError(f"bundle: the run {run} has no chosen candidate ({results.why}); name one with --candidate")
    wanted = candidate or str(results.chosen)
    place = out or run / ("bundle" if candidate is None else f"bundle-{candidate.replace('/', '-')}")
    if place.exists() and not is_bundle(place) and (not place.is_dir() or any(place.iterdir())):
        raise UserError(f"bundle: {place} exists and is not a bundle; choose an empty folder or an existing bundle")
    listed = list(Listing(run, store_of(run, store)).artifacts().values())
    planned = _planned(run, listed)
    known = {artifact.manifest.key: artifact for artifact in listed}
    missing = sorted(role for role, key in planned.manifest.inputs.items() if key not in known)
    if missing:
        raise UserError(f"bundle: {run} lacks the artifacts of {', '.join(missing)}; run the recipe again")
    settings = kind.Settings.model_validate_json(_settings(planned))
    made = {role: known[key] for role, key in planned.manifest.inputs.items()}
    for artifact in made.values():
        if artifacts.read(artifact.folder, verify_hashes=True) is None:
            raise UserError(
                f"bundle: {artifact.folder} has changed since the run wrote it; run the recipe again with "
                "--verify-hashes"
            )
    partial = place.with_name(f"{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            step.write(settings, roles.restored(kind.Inputs, made), wanted, partial, Path(scratch))
        replace(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return place


def forget_listed(place: Path) -> None:
    """Remove the files of an existing bundle, and nothing that it does not list."""
    for name in _listed(place):
        (place / name).unlink(missing_ok=True)


def replace(partial: Path, place: Path) -> None:
    """Move a bundle to its place, replacing an older one; the user's own files there (results, notes) stay."""
    former = place.with_name(f"{place.name}.former")
    if former.exists() and not place.exists():  # the process was killed in the lines below
        former.rename(place)
    shutil.rmtree(former, ignore_errors=True)
    if place.exists():
        listed = _listed(place)
        for file in sorted(place.rglob("*")):
            name = file.relative_to(place).as_posix()
            if name not in listed and not (partial / name).exists() and (file.is_symlink() or not file.is_dir()):
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, partial / name, follow_symlinks=False)
        place.rename(former)
    partial.rename(place)
    shutil.rmtree(former, ignore_errors=True)


def _listed(place: Path) -> set[str]:
    """The names of a bundle's own files, from its list; none if it is not a bundle."""
    if not is_bundle(place):
        return set()
    try:
        lines = (place / HASHES).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return set()
    names = {line.split("  ", 1)[1] for line in lines if "  " in line}
    paths = {name: PurePosixPath(name) for name in names}
    return {HASHES} | {name for name, path in paths.items() if not path.is_absolute() and ".." not in path.parts}


def _planned(run: Path, listed: Sequence[Published]) -> Published:
    """The bundle step that matches the run's current results.

    Raises:
        UserError: there is none.
    """
    present = (run / "results.json").read_bytes() if (run / "results.json").is_file() else b""
    reports = {
        artifact.manifest.key
        for artifact in listed
        if artifact.manifest.kind == report.KIND.name
        and artifact.path("results.json").is_file()
        and artifact.path("results.json").read_bytes() == present
    }
    for artifact in listed:
        if artifact.manifest.kind == kind.KIND.name and artifact.manifest.inputs.get("report") in reports:
            return artifact
    raise UserError(f"bundle: {run} has no steps that match its results.json; run the recipe again")


def _settings(artifact: Published) -> str:
    import json

    return json.dumps(artifact.manifest.settings)
