"""Reads, checks and encodes the out-of-distribution sets, separately from the data so that adding one does not cause
retraining."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts import registry
from edgedistill.contracts.task import Task
from edgedistill.data import prepared
from edgedistill.data.prepared import PreparedData
from edgedistill.data.reading import described, read_rows, refuse_changed
from edgedistill.data.row_tables import Wanted
from edgedistill.steps.kinds.prepare_ood import Inputs, Settings
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.step import Context

if TYPE_CHECKING:
    from datasets import Dataset


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> TokenisedData:
    """Publish `NAME/rows` and `NAME/items.safetensors` of every set, with the tokenizer and labels of the data step."""
    task: Task = registry.task(settings.task.type)
    data = prepared.PreparedData.of(inputs.data)
    encoder = data.encoder(settings.task)
    for name, source in settings.ood.items():
        where = f"evaluate.ood.{name}"
        raw = read_rows(source, where, context.scratch / "cache", Wanted.of(task, data.columns))
        refuse_changed(where, source, settings.content[name])
        rows = _checked(raw, described(source), task, data)
        prepared.save_table(rows, folder / name / "rows")
        items = prepared.encode(rows, task, encoder)
        prepared.refuse_no_decisions(items, task, where)
        items.save(folder / name / prepared.ITEMS)
    return data.facts.model_copy(update={"splits": {}})


def _checked(rows: Dataset, name: str, task: Task, data: PreparedData) -> Dataset:
    """Rows with label names, None for labels that do not occur in training."""
    from datasets import Value

    label = data.columns.get(task.data.columns.labels or "")
    rows = rows if label is None else prepared.named(rows, label, data.facts.renamed_labels)
    prepared.check_rows(rows, task, data.columns, name, labelled=False)
    if label not in rows.column_names or not data.labels:
        return rows
    known, features = set(data.labels), rows.features.copy()
    features[label] = Value("string")
    return rows.map(lambda row: {label: row[label] if row[label] in known else None}, features=features)
