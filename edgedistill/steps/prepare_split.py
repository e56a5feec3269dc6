"""Reads and checks another split than the training data, and tokenises it as that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgedistill import plugins
from edgedistill.recipe import DataSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

from .prepare_data import publish_split

if TYPE_CHECKING:
    from edgedistill.interfaces import Task

VERSION = 1


class Settings(Spec):
    """What to read, of which only one split here."""

    task: str
    data: DataSpec
    split: Literal["validation", "test", "unlabeled"]


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `SPLIT/` (rows, tokens, what was found); the rows are compared with every split that is an input."""
    from edgedistill import data as reading

    task: Task = plugins.find("tasks", settings.task)
    data, split = reading.PreparedData.of(inputs), settings.split
    source = settings.data.splits()[split]
    raw = reading.read_rows(source, f"data.{split}", context.scratch / "cache")
    label = data.columns[task.COLUMNS.labels]
    rows = reading.with_label_names(raw, label)
    name, labelled = source.path or f"{source.hub}", split != "unlabeled"
    reading.check_rows(rows, task, data.columns, name, labelled=labelled, known=data.labels)
    if not labelled and label in rows.column_names:
        rows = rows.remove_columns(label)
    compared = ["train", *data.splits] if labelled else []
    repeated = {earlier: reading.duplicates(data.rows(earlier), rows, task, data.columns) for earlier in compared}
    for earlier, found in repeated.items():
        if found:
            there, here, text = found[0]
            context.progress.say(
                f"      warning: {len(found)} texts of {split} are in {earlier} too, for example rows {here} and "
                f"{there}: {text[:60]!r}"
            )
    publish_split(folder, split, rows, task, data, repeated)
