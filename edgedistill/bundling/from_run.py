"""Bundles any candidate of a finished run, from the artifacts that its results were made of."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgedistill import artifacts
from edgedistill.artifacts import Artifact
from edgedistill.bundling.layout import is_bundle
from edgedistill.errors import UserError
from edgedistill.results import load_results
from edgedistill.steps import bundle as step


def bundle_run(run: Path, candidate: str | None, out: Path | None) -> Path:
    """Write the bundle under a temporary name, then rename; an older bundle in that place is replaced.

    Args:
        candidate: the chosen one unless given.
        out: unless given, `RUN/bundle`, or `RUN/bundle-CANDIDATE` for one that the caller named.

    Raises:
        UserError: no finished run, nothing chosen, no such candidate, or a folder in the way that is no bundle.
    """
    results = load_results(run)
    if candidate is None and results.chosen is None:
        raise UserError(f"bundle: the run {run} chose nothing ({results.why}); name a candidate with --candidate")
    wanted = candidate or str(results.chosen)
    place = out or run / ("bundle" if candidate is None else f"bundle-{candidate.replace('/', '-')}")
    if place.exists() and not is_bundle(place) and (not place.is_dir() or any(place.iterdir())):
        raise UserError(
            f"bundle: {place} is there and is no bundle; expected a new or empty folder, or an older bundle"
        )
    planned = _planned(run)
    known = {artifact.manifest.key: artifact for artifact in _artifacts(run)}
    missing = sorted(role for role, key in planned.manifest.inputs.items() if key not in known)
    if missing:
        raise UserError(f"bundle: {run} lacks the artifacts of {', '.join(missing)}; run the recipe again")
    settings = step.Settings.model_validate_json(_settings(planned))
    inputs = {role: known[key] for role, key in planned.manifest.inputs.items()}
    partial = place.with_name(f"{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            step.write(settings, inputs, wanted, partial, Path(scratch))
        replace(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return place


def publish(made: Artifact, place: Path) -> None:
    """Put the bundle that a run made in its place, whole; none where nothing was chosen."""
    names = [entry.path for entry in made.manifest.files]
    if not names:
        shutil.rmtree(place, ignore_errors=True)
        return
    partial = place.with_name(f"{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name in names:
        artifacts.link(made.path(name), partial / name)
    replace(partial, place)


def replace(partial: Path, place: Path) -> None:
    """Rename, over what was there."""
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)


def _artifacts(run: Path) -> Iterator[Artifact]:
    for folder in sorted(run.glob("steps/[0-9]*")):
        if (artifact := artifacts.read(folder)) is not None:
            yield artifact


def _planned(run: Path) -> Artifact:
    """The bundle step that belongs to the run's present results.

    Raises:
        UserError: there is none.
    """
    present = (run / "results.json").read_bytes() if (run / "results.json").is_file() else b""
    every = list(_artifacts(run))
    reports = {
        each.manifest.key
        for each in every
        if each.manifest.kind == "report" and each.path("results.json").read_bytes() == present
    }
    for each in every:
        if each.manifest.kind == "bundle" and each.manifest.inputs["report"] in reports:
            return each
    raise UserError(f"bundle: {run} has no steps that belong to its results.json; run the recipe again")


def _settings(artifact: Artifact) -> str:
    import json

    return json.dumps(artifact.manifest.settings)
