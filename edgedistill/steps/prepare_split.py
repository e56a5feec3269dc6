"""Reads and checks another split than the training data, and encodes it as that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgedistill import plugins
from edgedistill.recipe import DataSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

from .prepare_data import publish_split

if TYPE_CHECKING:
    from edgedistill.contracts.task import Task

VERSION = 4


class Settings(Spec):
    """What to read, of which only one split here."""

    task: str
    data: DataSpec
    split: Literal["validation", "test", "unlabeled"]
    content: str
    """Fingerprint of the split, which the key holds: what is read must have it still."""


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `SPLIT/` (rows, items, what was found); the rows are compared with every split that is an input."""
    from edgedistill import data as prepared
    from edgedistill.reading import described, read_rows, refuse_changed
    from edgedistill.row_tables import Wanted

    task: Task = plugins.task(settings.task)
    data, split = prepared.PreparedData.of(inputs), settings.split
    source, where, labelled = settings.data.splits()[split], f"data.{split}", split != "unlabeled"
    raw = read_rows(source, where, context.scratch / "cache", Wanted.of(task, data.columns, label=labelled))
    refuse_changed(where, source, settings.content)
    label = data.columns.get(task.data.columns.labels or "")
    rows = raw if label is None else prepared.named(raw, label, settings.data.labels)
    prepared.check_rows(rows, task, data.columns, described(source), labelled=labelled, known=data.labels)
    compared = ["train", *data.splits] if labelled else []
    repeated = {earlier: prepared.duplicates(data.rows(earlier), rows, task, data.columns) for earlier in compared}
    for earlier, found in repeated.items():
        if found:
            there, here, text = found[0]
            context.progress.say(
                f"      warning: {len(found)} texts of {split} are in {earlier} too, for example rows {here} and "
                f"{there}: {text[:60]!r}"
            )
    for warning in publish_split(folder, split, rows, task, data, repeated):
        context.progress.say(f"      warning: {warning}")
