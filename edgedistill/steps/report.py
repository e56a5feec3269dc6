"""Combines all figures: `results.json`, `report.md`, `report.html`."""

from __future__ import annotations

from pathlib import Path

from edgedistill.report.collect import collect
from edgedistill.report.html import render_html
from edgedistill.report.markdown import render_markdown
from edgedistill.report.run_files import RunFiles
from edgedistill.steps.kinds.report import Inputs, Settings
from edgedistill.store.artifacts import write_json, write_text
from edgedistill.store.records.base import FileName
from edgedistill.store.records.closing import Reported
from edgedistill.store.step import Context


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Reported:
    """Publish the three files."""
    results = collect(RunFiles(settings, inputs))
    training = {name: model.record.epochs for name, model in inputs.models.items()}
    made = Reported(results=FileName("results.json"), markdown=FileName("report.md"), html=FileName("report.html"))
    write_json(folder / made.results, results.model_dump(mode="json", by_alias=True))
    write_text(folder / made.markdown, render_markdown(results))
    write_text(folder / made.html, render_html(results, training, settings.select))
    return made
