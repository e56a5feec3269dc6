"""Publishes a run's outputs in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from edgedistill.engine import publishing
from edgedistill.exporting.candidates import makeable_candidates
from edgedistill.exporting.files import read_files
from edgedistill.planning import Plan
from edgedistill.recipe import reading
from edgedistill.runs.bundling import forget_listed
from edgedistill.store import artifacts
from edgedistill.store.artifacts import Published
from edgedistill.store.records.base import RECORD


def publish(plan_: Plan, done: Mapping[str, Published], folder: Path) -> None:
    """Publish the run's outputs: `recipe.yaml`, `models/`, `results.json`, the reports and `bundle/`.

    Raises:
        OSError: a path that cannot be written.
    """
    text = reading.dump(plan_.recipe)
    if not (folder / "recipe.yaml").is_file() or (folder / "recipe.yaml").read_bytes() != text.encode():
        artifacts.write_text(folder / "recipe.yaml", text)
    if not (folder / publishing.RECORD).is_file():
        forget_listed(folder / "bundle")
    publishing.publish(dict(_published(plan_, done)), folder)


def _published(plan_: Plan, done: Mapping[str, Published]) -> Iterator[tuple[str, Path]]:
    """Published files of the run's steps, by name in the run folder."""
    made = plan_.made(done)
    for entry in made.report.files:
        yield entry.path, made.report.path(entry.path)
    yield "choice.json", made.chosen.path(RECORD)
    yield "measurements.json", made.measured.path(RECORD)
    for entry in made.measured.files:
        yield f"predictions/{entry.path}", made.measured.path(entry.path)
    for model in ("teacher", *(round_.id for round_ in plan_.recipe.rounds)):
        for entry in made.models[model].files:
            yield f"models/{model}/{entry.path.removeprefix('model/')}", made.models[model].path(entry.path)
    for row in makeable_candidates(plan_.candidates):
        files = made.files[row.file_key]
        for name in read_files(files).published if files.failure is None else ():
            yield f"models/{row.model}/{row.target}/{name}", files.path(name)
    for entry in made.bundle.files:
        yield f"bundle/{entry.path}", made.bundle.path(entry.path)
