"""Reads the raw rows of a data set from exactly the named file, folder or Hub id; paths are never glob patterns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.data import packaged
from edgedistill.data.fingerprint import data_fingerprint
from edgedistill.data.row_files import file_rows
from edgedistill.data.row_problems import RowProblems, listed, shortened
from edgedistill.data.row_tables import Wanted, write_batches, write_rows
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.recipe.data_spec import DataSource
from edgedistill.system.local_files import refuse_data_path, refuse_irregular

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

_BATCH = 1000


def described(source: DataSource) -> str:
    """A source's name in messages; row numbers count within its slice."""
    name = source.path or source.hub or str(source.bundled)
    return f"{name} ({source.split})" if source.split else name


def read_rows(source: DataSource, where: str, cache: Path, wanted: Wanted) -> Dataset:
    """The requested columns of a data source that exist, with texts and labels as text.

    A Hub `ClassLabel` stays a number. Rows are stored in a file under `cache`, which may be deleted once the data set
    is open.

    Raises:
        UserError: it cannot be read; for a faulty row, with its number and what is wrong.
    """
    from datasets import disable_progress_bars
    from datasets.utils import logging

    disable_progress_bars()
    logging.set_verbosity(logging.CRITICAL)  # problems with the file are reported below, once
    path = Path(source.path) if source.path else None
    if source.bundled is not None:
        path = packaged.write(source.bundled, cache / "bundled")
    name = str(source.path or source.hub or source.bundled)
    table = cache / f"{where}.arrow"
    try:
        if path is None:
            return _copied(_from_hub(source, where), wanted, name, table)
        refuse_data_path(f"{where}.path", path)
        if path.is_dir():
            return _copied(_of_folder(path, source.split, where), wanted, name, table)
        rows = _parquet(path, wanted, name, table) if path.suffix == ".parquet" else _rows(path, wanted, name, table)
        return _sliced(_only(rows, where), source.split or "train")
    except EdgedistillError as error:
        if str(error).startswith((where, name)):
            raise
        raise UserError(f"{where}: {error}") from None
    except Exception as error:
        cause = error.__cause__ or error
        reason = shortened(" ".join(str(cause).split()), 300) or type(cause).__name__
        raise UserError(f"{where}: '{name}' cannot be read: {reason}") from error


def refuse_changed(where: str, source: DataSource, content: str) -> None:
    """After reading, refuse a source that has changed since the run was planned.

    Raises:
        UserError: it changed.
    """
    if data_fingerprint(where, source) != content:
        raise UserError(f"{where}: '{described(source)}' changed while it was being read; run again")


def require_columns(found: Sequence[str], needed: Mapping[str, str], name: str) -> None:
    """Refuse a data set that lacks a column; `needed` maps the task's names to the data's.

    Raises:
        UserError: it does.
    """
    for key, column in needed.items():
        if column not in found:
            raise UserError(
                f"{name}: has no column '{column}' (it has {listed(found)}); "
                f"name the one with the {key} in data.columns.{key}"
            )


def _rows(path: Path, wanted: Wanted, name: str, table: Path) -> Dataset:
    """The rows of a jsonl, json or csv file."""
    problems = RowProblems(name)
    found = write_rows(file_rows(path, wanted.names(), problems), wanted, problems, table)
    return _present(_opened(table), found, wanted, name)


def _present(rows: Dataset, found: set[str], wanted: Wanted, name: str) -> Dataset:
    """Drop columns that no row has; required ones are reported by name elsewhere."""
    if len(rows):
        require_columns(sorted(found), wanted.inputs, name)
    return rows.select_columns([column for column in wanted.names() if column in found])


def _parquet(path: Path, wanted: Wanted, name: str, table: Path) -> Dataset:
    import pyarrow
    from pyarrow import parquet, types

    with pyarrow.OSFile(str(path), "rb") as stream:
        schema = parquet.read_schema(stream)
    _require(schema.names, wanted, name)
    present = [column for column in wanted.names() if column in schema.names]
    texts = [column for column in present if types.is_string(schema.field(column).type)]
    with (
        pyarrow.OSFile(str(path), "rb") as stream,
        parquet.ParquetFile(stream, read_dictionary=texts, pre_buffer=False) as file,
    ):
        write_batches(file.iter_batches(_BATCH, columns=present), schema, wanted, RowProblems(name), table)
    return _opened(table)


def _require(columns: list[str], wanted: Wanted, name: str) -> None:
    """Check that every requested column exists exactly once."""
    twice = [column for column in wanted.names() if columns.count(column) > 1]
    if twice:
        raise UserError(f"{name}: has several columns named {listed(twice)}, expected one")
    require_columns(columns, wanted.inputs, name)


def _opened(table: Path) -> Dataset:
    """The rows of an Arrow file, memory-mapped."""
    from datasets import Dataset

    return Dataset.from_file(str(table))


def _copied(rows: Dataset, wanted: Wanted, name: str, table: Path) -> Dataset:
    """Convert a data set from the `datasets` library."""
    _require(rows.column_names, wanted, name)
    chosen = rows.select_columns([column for column in wanted.names() if column in rows.column_names])

    def batches() -> Iterator[pyarrow.RecordBatch]:
        for batch in chosen.with_format("arrow").iter(_BATCH):
            yield from batch.to_batches()

    write_batches(batches(), chosen.features.arrow_schema, wanted, RowProblems(name), table)
    return _opened(table)


def _from_hub(source: DataSource, where: str) -> Dataset:
    from datasets import load_dataset

    if Path(str(source.hub)).exists():
        raise UserError(
            f"{where}.hub: got '{source.hub}', which is also a local file or folder and would be read instead of the "
            "Hub's; use 'path' for it, or another working folder"
        )
    return load_dataset(
        source.hub, source.subset, split=source.split or where.rsplit(".", 1)[-1], revision=source.revision
    )


def _of_folder(folder: Path, split: str | None, where: str) -> Dataset:
    """The rows of a folder saved by `datasets`: its only data set, or the one of several named `where`.

    Read through its listings, with files from the folder only, since the library would treat the path as a pattern or
    URL.

    Raises:
        UserError: it is not one, or has no such split.
    """
    listing = folder / "dataset_dict.json"
    if not listing.is_file():
        return _sliced(_only(_saved(folder), where), split or "train")
    splits = _json(listing).get("splits")
    if not isinstance(splits, list) or not all(isinstance(name, str) for name in splits):
        raise UserError(f"'{listing}' names no splits; expected a folder saved by datasets")
    return _sliced({name: _saved(_inside(folder, name)) for name in splits}, split or where.rsplit(".", 1)[-1])


def _saved(folder: Path) -> Dataset:
    """One data set saved by `datasets`."""
    from datasets import concatenate_datasets

    state = folder / "state.json"
    if not state.is_file():
        raise UserError(f"'{folder}' has no state.json; expected a folder saved by datasets, or a file")
    content = _json(state)
    files = content.get("_data_files")
    if not isinstance(files, list) or not files or content.get("_indices_data_files"):
        raise UserError(f"'{state}' names no data files; expected a folder saved by a current version of datasets")
    parts = []
    for entry in files:
        file = _inside(folder, str(entry.get("filename") if isinstance(entry, dict) else entry))
        refuse_irregular(f"'{state}'", file)
        parts.append(_opened(file))
    return concatenate_datasets(parts)


def _inside(folder: Path, name: str) -> Path:
    """The file or folder of that name directly in `folder`.

    Raises:
        UserError: a name that leads elsewhere.
    """
    if name in ("", ".", "..") or Path(name).name != name:
        raise UserError(f"'{folder}' names '{shortened(name, 100)}'; expected files inside the folder")
    return folder / name


def _json(file: Path) -> dict[str, object]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{file}' is not JSON ({error}); expected a folder saved by datasets") from None
    return content if isinstance(content, dict) else {}


def _only(rows: Dataset, where: str) -> dict[str, Dataset]:
    """The rows of a file, under the name that `datasets` gives a file and under that of its place in the recipe."""
    return {"train": rows, where.rsplit(".", 1)[-1]: rows}


def _sliced(splits: dict[str, Dataset], wanted: str) -> Dataset:
    """A split or slices of it, in the notation of `datasets`.

    Raises:
        UserError: there is no such split, or the notation is invalid.
    """
    from datasets import ReadInstruction, concatenate_datasets

    if wanted in splits:
        return splits[wanted]
    try:
        parts = ReadInstruction.from_spec(wanted).to_absolute({name: len(rows) for name, rows in splits.items()})
    except (ValueError, AssertionError, KeyError) as error:
        reason = shortened(" ".join(str(error).split()), 200)
        raise UserError(
            f"split: got '{wanted}', expected one of {listed(splits)}, or a slice of it: {reason}"
        ) from None
    return concatenate_datasets([splits[part.splitname].select(range(part.from_, part.to)) for part in parts])
