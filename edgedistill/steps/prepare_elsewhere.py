"""Reads, checks and tokenises the sets from elsewhere: apart from the data, so that one more trains nothing anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.recipe import DataSource
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from datasets import Dataset

    from edgedistill.interfaces import Task

VERSION = 1


class Settings(Spec):
    """What to read."""

    task: str
    ood: Mapping[str, DataSource]


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `NAME/rows` and `NAME/tokens` of every set, in the tokens and labels of the data step that it reads."""
    from edgedistill import data as reading

    task: Task = plugins.find("tasks", settings.task)
    data = reading.PreparedData.of(inputs)
    tokenizer = data.load_tokenizer()
    label_ids = {label: i for i, label in enumerate(data.labels)}
    for name, source in settings.ood.items():
        raw = reading.read_rows(source, f"evaluate.ood.{name}", context.scratch / "cache")
        rows = _checked(raw, source.path or str(source.hub), task, data.columns, data.labels)
        tokens = reading.tokenise(rows, task, data.columns, tokenizer, label_ids, data.max_length)
        rows.save_to_disk(str(folder / name / "rows"))
        tokens.save_to_disk(str(folder / name / "tokens"))
    write_json(folder / "data.json", inputs["data"].read_json("data.json"))


def _checked(rows: Dataset, name: str, task: Task, columns: dict[str, str], labels: list[str]) -> Dataset:
    """Rows whose label is None where training doesn't have it."""
    from datasets import Value

    from edgedistill import data as reading

    label = columns[task.COLUMNS.labels]
    if label not in rows.column_names:
        reading.check_rows(rows, task, columns, name, labelled=False)
        return rows
    rows = reading.with_label_names(rows, label)
    reading.check_rows(rows, task, columns, name, labelled=False)
    known, features = set(labels), rows.features.copy()
    features[label] = Value("string")
    return rows.map(lambda row: {label: str(row[label]) if str(row[label]) in known else None}, features=features)
