"""Reads and checks a split other than train, and encodes it in the same way."""

from __future__ import annotations

from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.contracts.task import Task
from edgedistill.data import prepared
from edgedistill.data.reading import described, read_rows, refuse_changed
from edgedistill.data.row_tables import Wanted
from edgedistill.steps.kinds.prepare_split import Inputs, Settings
from edgedistill.steps.prepare_data import publish_split
from edgedistill.store.records.data import PreparedSplit
from edgedistill.store.step import Context


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> PreparedSplit:
    """Publish `SPLIT/` (rows and items), comparing the rows with every input split."""
    task: Task = registry.task(settings.task.type)
    data, split = prepared.PreparedData.of(inputs.data), settings.split
    source, where, labelled = settings.source, f"data.{split}", split != "unlabeled"
    raw = read_rows(source, where, context.scratch / "cache", Wanted.of(task, data.columns, label=labelled))
    refuse_changed(where, source, settings.content)
    label = data.columns.get(task.data.columns.labels or "")
    rows = raw if label is None else prepared.named(raw, label, data.facts.renamed_labels)
    prepared.check_rows(rows, task, data.columns, described(source), labelled=labelled, known=data.labels)
    compared = ["train", *data.splits] if labelled else []
    repeated = {earlier: prepared.duplicates(data.rows(earlier), rows, task, data.columns) for earlier in compared}
    for earlier, found in repeated.items():
        if found:
            there, here, text = found[0]
            context.progress.warn(
                f"{len(found)} texts of {split} are also in {earlier}, for example rows {here} and "
                f"{there}: {text[:60]!r}"
            )
    facts, warnings = publish_split(folder, split, rows, settings.task, data, repeated)
    for warning in warnings:
        context.progress.warn(warning)
    return PreparedSplit(split=split, facts=facts)
