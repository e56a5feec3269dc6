"""Reads data sets, checks every row, and tokenises once to Arrow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import bundled
from .errors import EdgedistillError, UserError
from .interfaces import Task
from .ragged import Array, Ragged
from .recipe import DataSource

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from .step import Inputs

SPLIT_FACTS = "split.json"
_READERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
_SHOWN_PROBLEMS = 20


def read_rows(source: DataSource, where: str, cache: Path) -> Dataset:
    """The raw rows of a data source.

    Raises:
        UserError: it can't be read; for jsonl with the line and what is wrong with it.
    """
    from datasets import DatasetDict, disable_progress_bars, load_dataset, load_from_disk
    from datasets.utils import logging

    disable_progress_bars()
    logging.set_verbosity(logging.CRITICAL)  # what is wrong with a file is said below, once
    path = Path(source.path) if source.path else None
    if source.bundled is not None:
        path = bundled.write(source.bundled, cache / "bundled")
    try:
        if path is None:
            return load_dataset(
                source.hub,
                source.subset,
                split=source.split or where.rsplit(".", 1)[-1],
                revision=source.revision,
            )
        if path.is_dir():
            loaded = load_from_disk(str(path))
            if isinstance(loaded, DatasetDict):
                return loaded[source.split or where.rsplit(".", 1)[-1]]
            return loaded
        return load_dataset(
            _READERS[path.suffix],
            data_files={"rows": str(path)},
            split=(source.split or "rows").replace("train", "rows"),
            cache_dir=str(cache),
        )
    except Exception as error:
        if path is not None and path.suffix == ".jsonl" and path.is_file():
            _check_jsonl(path)
        name = source.path or source.hub
        cause = error.__cause__ or error
        raise UserError(f"{where}: '{name}' cannot be read: {' '.join(str(cause).split())[:300]}") from error


def check_rows(
    rows: Dataset,
    task: Task,
    columns: Mapping[str, str],
    name: str,
    *,
    labelled: bool,
    known: Sequence[str] = (),
) -> None:
    """Look at every row.

    Raises:
        UserError: missing columns, or rows with empty or wrongly typed fields or labels that training doesn't have;
            each with file and row (the first is row 1).
    """
    needed = [*task.COLUMNS.required, *([task.COLUMNS.labels] if labelled else [])]
    needed += [key for key in task.COLUMNS.optional if key in columns]
    for key in needed:
        if columns[key] not in rows.column_names:
            raise UserError(
                f"{name}: has no column '{columns[key]}' (it has {', '.join(rows.column_names)}); "
                f"say which one holds the {key} with data.columns.{key}"
            )
    if len(rows) == 0:
        raise UserError(f"{name}: has no rows")
    allowed, label = set(known), columns[task.COLUMNS.labels]
    problems: list[str] = []
    total = 0
    for number, row in enumerate(rows, start=1):
        problem = task.problem_in(row, columns, labelled)
        if problem is None and labelled and allowed and _is_scalar(row[label]) and str(row[label]) not in allowed:
            problem = f"'{label}' is {row[label]!r}, which the training data doesn't have"
        if problem is not None:
            total += 1
            if len(problems) < _SHOWN_PROBLEMS:
                problems.append(f"{name}: row {number}: {problem}")
    if total > len(problems):
        problems.append(f"{name}: and {total - len(problems)} more rows")
    if problems:
        raise UserError("\n".join(problems))


def with_label_names(rows: Dataset, column: str) -> Dataset:
    """Rows whose `ClassLabel` numbers are replaced by their names (-1, the hub's "no label", by None)."""
    from datasets import Value

    feature = rows.features.get(column)
    if feature is None or not hasattr(feature, "names"):
        return rows
    features = rows.features.copy()
    features[column] = Value("string")
    names = feature.names
    return rows.map(
        lambda row: {column: names[row[column]] if row[column] is not None and row[column] >= 0 else None},
        features=features,
    )


def duplicates(first: Dataset, second: Dataset, task: Task, columns: Mapping[str, str]) -> list[tuple[int, int, str]]:
    """Rows of `second` whose text, but for case and spacing, is in `first`: (row in first, row in second, text)."""

    def normal(row: Mapping[str, object]) -> str:
        return " ".join(task.show(row, columns).lower().split())

    seen = {normal(row): number for number, row in enumerate(first, start=1)}
    found = []
    for number, row in enumerate(second, start=1):
        if (earlier := seen.get(normal(row))) is not None:
            found.append((earlier, number, task.show(row, columns)))
    return found


def content_hash(rows: Dataset, task: Task, columns: Mapping[str, str]) -> str:
    """sha256 of what the task reads of every row, labels included: the same for the same items in any file format."""
    label = columns[task.COLUMNS.labels]
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([task.show(row, columns), row.get(label)], ensure_ascii=False).encode())
    return digest.hexdigest()


def tokenise(
    rows: Dataset,
    task: Task,
    columns: Mapping[str, str],
    tokenizer: PreTrainedTokenizerBase | None,
    label_ids: Mapping[str, int],
    max_length: int,
) -> Dataset:
    """The model's inputs and `labels`, a row for every raw row."""
    return rows.map(
        lambda batch: task.encode(batch, columns, tokenizer, label_ids, max_length),
        batched=True,
        remove_columns=rows.column_names,
        load_from_cache_file=False,
        keep_in_memory=True,
    )


@dataclass(frozen=True)
class PreparedData:
    """The published data: raw rows and tokens of each split, label names, columns, the tokenizer's folder.

    Args:
        folder: of the data step, with the tokenizer, the labels and the training split.
        splits: of the other splits that are read, which have steps of their own: a new test set changes no other.
    """

    folder: Path
    splits: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Inputs, role: str = "data") -> PreparedData:
        """What a step is given under `role`: the data step, and each further split under `role/SPLIT`."""
        further = {
            name.removeprefix(f"{role}/"): artifact.folder
            for name, artifact in inputs.items()
            if name.startswith(f"{role}/")
        }
        return cls(inputs[role].folder, further)

    @property
    def _facts(self) -> dict[str, object]:
        content: dict[str, object] = json.loads((self.folder / "data.json").read_text(encoding="utf-8"))
        return content

    @property
    def labels(self) -> list[str]:
        """Label names in the order of their ids."""
        return list(self._facts["labels"])  # type: ignore[call-overload]

    @property
    def columns(self) -> dict[str, str]:
        """What the task's columns are called in the data."""
        return dict(self._facts["columns"])  # type: ignore[call-overload]

    @property
    def max_length(self) -> int:
        """The longest input in tokens."""
        return int(str(self._facts["max_length"]))

    @property
    def tokenizer(self) -> Path:
        """Folder of the tokenizer."""
        return self.folder / "tokenizer"

    def load_tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer; None for a task without one."""
        from .models import load_tokenizer

        return load_tokenizer(self.tokenizer) if self.tokenizer.is_dir() else None

    def rows(self, split: str) -> Dataset:
        """Raw rows, memory-mapped."""
        from datasets import load_from_disk

        return load_from_disk(str(self.place(split) / "rows"))

    def tokens(self, split: str) -> Ragged:
        """The model's inputs and labels."""
        from datasets import load_from_disk

        return to_ragged(load_from_disk(str(self.place(split) / "tokens")), int(str(self._facts["pad_token"])))

    def split_facts(self, split: str) -> dict[str, object]:
        """What was found in a split: `rows`, its content's `sha256`, and `duplicates` of earlier splits."""
        facts: dict[str, object] = json.loads((self.place(split) / SPLIT_FACTS).read_text(encoding="utf-8"))
        return facts

    def place(self, split: str) -> Path:
        """The folder of a split."""
        return self.splits.get(split, self.folder) / split


def to_ragged(tokens: Dataset, pad: int) -> Ragged:
    """The columns that a task's `encode` made, flat."""
    import pyarrow

    table = tokens.data.table
    values: dict[str, Array] = {}
    sequences: set[str] = set()
    offsets: np.ndarray | None = None
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if isinstance(column, pyarrow.ChunkedArray):
            column = pyarrow.concat_arrays(column.chunks)
        if pyarrow.types.is_list(column.type) or pyarrow.types.is_large_list(column.type):
            sequences.add(name)
            own = column.offsets.to_numpy().astype(np.int64)
            offsets = own - own[0]
            values[name] = column.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
        else:
            values[name] = column.to_numpy(zero_copy_only=False).astype(np.int64)
    if offsets is None:
        raise EdgedistillError("the task's encode gave no sequence column (input_ids)")
    return Ragged(values, offsets, frozenset(sequences), pad)


def pad_token(tokenizer: PreTrainedTokenizerBase | None) -> int:
    """The padding token's id; 0 where there is none (the attention mask hides it)."""
    return 0 if tokenizer is None or tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int)


def _check_jsonl(path: Path) -> None:
    """Say which line of a jsonl file is not an object, or changes the type of a field.

    Raises:
        UserError: such a line.
    """
    types: dict[str, tuple[type, int]] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UserError(f"{path}: row {number}: is not JSON ({error}): {line.strip()[:60]}") from None
            if not isinstance(row, dict):
                raise UserError(f"{path}: row {number}: got {type(row).__name__}, expected an object")
            for key, value in row.items():
                if value is None:
                    continue
                first, where = types.setdefault(key, (type(value), number))
                if type(value) is not first:
                    raise UserError(
                        f"{path}: row {number}: '{key}' is {type(value).__name__} {value!r:.40}, "
                        f"expected {first.__name__} as in row {where}"
                    )
