"""The prepared data: checks every row, encodes once, and reads what was published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.contracts.items import Items, joined
from edgedistill.contracts.task import Encoder, Task
from edgedistill.data.reading import require_columns
from edgedistill.data.row_problems import RowProblems
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.models.loading import load_tokenizer
from edgedistill.store.records.base import R, read
from edgedistill.store.records.data import Duplicate, PreparedSplit, SplitFacts, TokenisedData

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from edgedistill.contracts.task_spec import TaskSpec
    from edgedistill.store.data_inputs import DataInputs

ITEMS = "items.safetensors"
_TABLE = "data.arrow"
_BATCH_BYTES = 16 << 20
_SHOWN_CHARACTERS = 200


def check_rows(
    rows: Dataset,
    task: Task,
    columns: Mapping[str, str],
    name: str,
    *,
    labelled: bool,
    known: Sequence[str] = (),
) -> None:
    """Check every row.

    Raises:
        UserError: missing columns, or rows with empty or mistyped fields or labels that do not occur in training; each
            with file and row (the first is row 1).
    """
    if len(rows) == 0:
        raise UserError(f"{name}: has no rows")
    labels = task.data.columns.labels
    needed = {key: column for key, column in columns.items() if labelled or key != labels}
    require_columns(rows.column_names, needed, name)
    allowed, label = set(known), columns[labels] if labels else ""
    problems = RowProblems(name)
    for number, row in enumerate(each_row(rows), start=1):
        problem = task.data.problem(row, columns, labelled)
        if problem is None and labelled and allowed and _is_scalar(row[label]) and str(row[label]) not in allowed:
            problem = f"'{label}' is {str(row[label])[:60]!r}, which does not occur in the training data"
        if problem is not None:
            problems.add(number, problem)
    problems.refuse()


def each_row(rows: Dataset) -> Iterator[dict[str, object]]:
    """The rows one by one, read in batches of bounded size."""
    for batch in rows.iter(_batch_rows(rows)):
        names = list(batch)
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(names, values, strict=True))


def with_label_names(rows: Dataset, column: str) -> Dataset:
    """Rows with `ClassLabel` numbers replaced by names (-1, the Hub's "no label", by None).

    Raises:
        UserError: a number that has no name.
    """
    from datasets import Value

    feature = rows.features.get(column)
    if feature is None or not hasattr(feature, "names"):
        return rows
    features = rows.features.copy()
    features[column] = Value("string")
    names = feature.names
    for number, row in enumerate(each_row(rows.select_columns([column])), start=1):
        if row[column] is not None and not -1 <= row[column] < len(names):  # type: ignore[operator]
            raise UserError(f"row {number}: '{column}' is {row[column]}, but the data set names {len(names)} classes")
    return rows.map(
        lambda row: {column: names[row[column]] if row[column] is not None and row[column] >= 0 else None},
        features=features,
    )


def with_labels(rows: Dataset, column: str, names: Mapping[str, str]) -> Dataset:
    """Rows with labels renamed by `names`; other labels are unchanged."""
    if not names or column not in rows.column_names:
        return rows
    return rows.map(lambda row: {column: None if row[column] is None else names.get(row[column], row[column])})


def named(rows: Dataset, column: str, names: Mapping[str, str]) -> Dataset:
    """Rows with labels as names: from their `ClassLabel`, then renamed by `names`."""
    return with_labels(with_label_names(rows, column), column, names)


def duplicates(first: Dataset, second: Dataset, task: Task, columns: Mapping[str, str]) -> list[Duplicate]:
    """Rows of `second` whose text is in `first`, ignoring case and spacing.

    Each as (row in first, row in second, the text's first characters).
    """

    def normal(row: Mapping[str, object]) -> bytes:
        text = " ".join(task.data.show(row, columns).lower().split())
        return hashlib.blake2b(text.encode(), digest_size=16).digest()  # the texts themselves are too many to hold

    seen = {normal(row): number for number, row in enumerate(each_row(first), start=1)}
    found = []
    for number, row in enumerate(each_row(second), start=1):
        if (earlier := seen.get(normal(row))) is not None:
            found.append(Duplicate(earlier, number, task.data.show(row, columns)[:_SHOWN_CHARACTERS]))
    return found


def content_hash(rows: Dataset, task: Task, columns: Mapping[str, str]) -> str:
    """sha256 of the columns that the task reads, including labels: equal for the same items in any file format."""
    label = columns[task.data.columns.labels] if task.data.columns.labels else ""
    digest = hashlib.sha256()
    for row in each_row(rows):
        digest.update(json.dumps([task.data.show(row, columns), row.get(label)], ensure_ascii=False).encode())
    return digest.hexdigest()


def encode(rows: Dataset, task: Task, encoder: Encoder) -> Items:
    """The items of every row; each row is an example.

    Raises:
        EdgedistillError: the task returns no items for a row, or numbers rows differently.
    """
    parts, counts = list[Items](), list[int]()
    for batch in rows.iter(_batch_rows(rows)):
        count = len(next(iter(batch.values())))
        items = task.data.encode(batch, encoder)
        missing = np.setdiff1d(np.arange(count), items.example)
        if len(missing) or items.example.max(initial=0) >= count:
            what = f"no item for row {sum(counts) + int(missing[0]) + 1}" if len(missing) else "items of no row"
            raise EdgedistillError(f"the task '{task.name}' makes {what}, expected at least one for every row")
        parts.append(items)
        counts.append(count)
    return joined(parts, counts)


def refuse_no_decisions(items: Items, task: Task, where: str) -> None:
    """Check that there is something to predict, without which nothing can be recorded, learned or scored.

    Args:
        where: the data's name, for the message.

    Raises:
        UserError: no item has a decision.
    """
    if not len(task.data.references(items)):
        raise UserError(
            f"{where}: there is nothing to predict in any of its rows, as '{task.name}' encodes them; expected at "
            "least one row with a prediction"
        )


def save_table(rows: Dataset, folder: Path) -> None:
    """Write a data set as one Arrow file, with the same bytes for the same rows in any folder."""
    import pyarrow

    folder.mkdir(parents=True)
    schema = rows.features.arrow_schema
    with (
        pyarrow.OSFile(str(folder / _TABLE), "wb") as sink,
        pyarrow.ipc.new_stream(sink, schema) as stream,
    ):
        for part in rows.with_format("arrow").iter(1000):
            stream.write_table(part.combine_chunks().cast(schema))


def open_table(folder: Path) -> Dataset:
    """Read what `save_table` wrote, memory-mapped."""
    from datasets import Dataset

    return Dataset.from_file(str(folder / _TABLE))


@dataclass(frozen=True)
class PreparedData:
    """The published data: raw rows and items of each split, label names, columns, the tokenizer's folder.

    Args:
        folder: folder of the data step, with the tokenizer and the splits that it read itself.
        facts: that step's record.
        further: folders and records of the other splits.
    """

    folder: Path
    facts: TokenisedData
    further: Mapping[str, tuple[Path, SplitFacts]] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: DataInputs) -> PreparedData:
        """The data inputs of a step."""
        further = {name: (split.folder, split.record.facts) for name, split in inputs.splits.items()}
        return cls(inputs.base.folder, inputs.base.record, further)

    @classmethod
    def at(cls, folder: Path, further: Mapping[str, Path] | None = None) -> PreparedData:
        """Open the published folders of a data step and of further splits by name.

        Raises:
            EdgedistillError: one contains something else.
        """
        found = {name: (place, _record(PreparedSplit, place).facts) for name, place in (further or {}).items()}
        return cls(folder, _record(TokenisedData, folder), found)

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the further splits."""
        return tuple(self.further)

    @property
    def labels(self) -> list[str]:
        """Label names in the order of their ids."""
        return list(self.facts.labels)

    @property
    def columns(self) -> Mapping[str, str]:
        """Names of the task's columns in the data."""
        return self.facts.columns

    @property
    def max_length(self) -> int:
        """The longest input in tokens."""
        return self.facts.max_length

    @property
    def tokenizer(self) -> Path:
        """Folder of the tokenizer."""
        return self.folder / "tokenizer"

    def load_tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer; None for a task without one."""
        return load_tokenizer(self.tokenizer) if self.tokenizer.is_dir() else None

    def rows(self, split: str) -> Dataset:
        """Raw rows, memory-mapped."""
        return open_table(self.place(split) / "rows")

    def items(self, split: str) -> Items:
        """The model's inputs and targets."""
        return Items.open(self.place(split) / ITEMS)

    def encoder(self, spec: TaskSpec) -> Encoder:
        """The encoder for further rows.

        Args:
            spec: the recipe's task.
        """
        label_ids = {label: number for number, label in enumerate(self.labels)}
        return Encoder(self.columns, self.load_tokenizer(), label_ids, self.max_length, spec)

    def split_facts(self, split: str) -> SplitFacts:
        """Findings in a split."""
        return self.further[split][1] if split in self.further else self.facts.splits[split]

    def place(self, split: str) -> Path:
        """The folder of a split."""
        return (self.further[split][0] if split in self.further else self.folder) / split


def _record(kind: type[R], folder: Path) -> R:
    found = read(kind, folder)
    if found is None:
        raise EdgedistillError(f"{folder}: contains no data with the schema {kind.SCHEMA}")
    return found


def _batch_rows(rows: Dataset) -> int:
    """Number of rows to hold at once; fewer if they are large."""
    mean = rows.data.nbytes / max(len(rows.data), 1)
    return int(min(1000, max(1, _BATCH_BYTES // max(mean, 1))))


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int)
