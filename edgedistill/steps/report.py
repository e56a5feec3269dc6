"""Puts all figures together: `results.json`, `report.md`, `report.html`."""

from __future__ import annotations

from pathlib import Path

from edgedistill.artifacts import write_json, write_text
from edgedistill.candidates import Candidate
from edgedistill.recipe import Round, SelectSpec, TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

VERSION = 9


class Settings(Spec):
    """What the report is about."""

    recipe: str
    task: TaskSpec
    rounds: tuple[Round, ...]
    seeds: tuple[int, ...]
    """Of the repetitions of the rounds, the first's in front."""
    candidates: tuple[Candidate, ...]
    select: SelectSpec
    ood: tuple[str, ...]


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish the three files."""
    from edgedistill.report.collect import collect
    from edgedistill.report.html import render_html
    from edgedistill.report.markdown import render_markdown
    from edgedistill.report.run_files import RunFiles

    files = RunFiles(settings, inputs)
    results = collect(files)
    training = {model: files.training_record(model) for model in files.trained}
    write_json(folder / "results.json", results.model_dump(mode="json", by_alias=True))
    write_text(folder / "report.md", render_markdown(results))
    write_text(folder / "report.html", render_html(results, training, settings.select))
