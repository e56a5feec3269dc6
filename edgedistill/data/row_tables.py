"""Writes rows of any origin as one Arrow file: texts and labels as text, checked one by one, with one batch in memory
at a time.

A label is text: the whole number 1 is the label "1", in jsonl and parquet as in csv. Fractions, booleans and objects
are not labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts.task import Task
from edgedistill.data.row_files import MAX_CHARACTERS, Place, Row
from edgedistill.data.row_problems import RowProblems
from edgedistill.errors import UserError, shown

if TYPE_CHECKING:
    import pyarrow

_BATCH_ROWS = 1000
_BATCH_CHARACTERS = 8_000_000


@dataclass(frozen=True)
class Wanted:
    """The columns to read from a data set, by their names there; others are ignored."""

    inputs: Mapping[str, str]
    """By the task's name; all are required."""
    texts: tuple[str, ...]
    others: tuple[str, ...]
    label: str | None

    @classmethod
    def of(cls, task: Task, columns: Mapping[str, str], *, label: bool = True) -> Wanted:
        """The columns of a task; `columns` maps its names to the data's."""
        inputs = {key: column for key, column in columns.items() if key != task.data.columns.labels}
        return cls(
            inputs=inputs,
            texts=tuple(dict.fromkeys(column for key, column in inputs.items() if key in task.data.columns.texts)),
            others=tuple(dict.fromkeys(column for key, column in inputs.items() if key not in task.data.columns.texts)),
            label=columns[task.data.columns.labels] if label and task.data.columns.labels else None,
        )

    def names(self) -> tuple[str, ...]:
        """All columns."""
        return (*self.texts, *self.others, *([self.label] if self.label is not None else []))


class _WrongError(Exception):
    """What is wrong with one value."""


def write_rows(rows: Iterable[tuple[Place, Row]], wanted: Wanted, problems: RowProblems, file: Path) -> set[str]:
    """Write rows of Python values; returns the names of all columns that any row has.

    Raises:
        UserError: invalid values, as listed in the problems.
    """
    found: set[str] = set()
    batch: dict[str, list[object]] = {name: [] for name in wanted.names()}
    places: list[Place] = []
    characters = 0
    with _Writer(file) as writer:
        for place, row in rows:
            if len(found) < 1000:
                found.update(row)
            cleaned = _cleaned(row, wanted, place, problems)
            if cleaned is None:
                continue
            places.append(place)
            for name, value in cleaned.items():
                batch[name].append(value)
                characters += len(value) if isinstance(value, str) else 1
            if len(places) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
                writer.write(_arrays(batch, places, wanted, problems, writer.schema))
                batch, places, characters = {name: [] for name in batch}, [], 0
        problems.refuse()
        if writer.schema is None or places:
            writer.write(_arrays(batch, places, wanted, problems, writer.schema))
    problems.refuse()
    return found


def write_batches(
    batches: Iterable[pyarrow.RecordBatch], schema: pyarrow.Schema, wanted: Wanted, problems: RowProblems, file: Path
) -> None:
    """Write Arrow batches of the requested columns; a label that is a ClassLabel in `schema` stays a number.

    Raises:
        UserError: invalid values, as listed in the problems.
    """
    import pyarrow

    named = _class_label(schema, wanted.label)
    number = 0
    with _Writer(file) as writer:
        for batch in batches:
            arrays = {}
            for name in wanted.names():
                if name not in batch.schema.names:
                    continue
                column = batch.column(batch.schema.names.index(name))
                as_label = name == wanted.label
                arrays[name] = column
                if name in wanted.texts or (as_label and named is None):
                    arrays[name] = _as_text(column, name, as_label, number, problems)
            number += batch.num_rows
            table = pyarrow.table(arrays)
            writer.write(table if named is None else table.replace_schema_metadata(named))
        if writer.schema is None:
            empty = schema.empty_table().select([name for name in wanted.names() if name in schema.names])
            writer.write(empty)
    problems.refuse()


class _Writer:
    """An Arrow stream file with the schema of the first table."""

    def __init__(self, file: Path) -> None:
        import pyarrow

        file.parent.mkdir(parents=True, exist_ok=True)
        self._sink = pyarrow.OSFile(str(file), "wb")
        self._stream: pyarrow.ipc.RecordBatchStreamWriter | None = None
        self.schema: pyarrow.Schema | None = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
        self._sink.close()

    def write(self, table: pyarrow.Table) -> None:
        import pyarrow

        if self._stream is None:
            self.schema = table.schema
            self._stream = pyarrow.ipc.new_stream(self._sink, table.schema)
        self._stream.write_table(table.cast(self.schema), max_chunksize=_BATCH_ROWS)


def _cleaned(row: Row, wanted: Wanted, place: Place, problems: RowProblems) -> dict[str, object] | None:
    """The requested values, None where the row lacks one; None for a row with a problem, which is added."""
    cleaned: dict[str, object] = {name: row.get(name) for name in wanted.others}
    for name in (*wanted.texts, *([wanted.label] if wanted.label is not None else [])):
        try:
            cleaned[name] = _text(row.get(name), as_label=name == wanted.label)
        except _WrongError as error:
            problems.add(str(place), f"'{name}' {error}")
            return None
    return cleaned


def _text(value: object, *, as_label: bool) -> object:
    """The value as text; missing values stay None, and a list of labels (one per word) stays a list.

    Raises:
        _WrongError: it is not text.
    """
    if value is None or (as_label and isinstance(value, list)):
        return value
    if as_label and isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**18 else _refuse("is a number of more than 18 digits, expected a label")
    if not isinstance(value, str):
        return _refuse(f"is {shown(value)}, expected {'a label name or whole number' if as_label else 'text'}")
    if len(value) > MAX_CHARACTERS:
        return _refuse(f"has {len(value):,} characters, expected at most {MAX_CHARACTERS:,}: shorten or remove it")
    if "\0" in value:
        return _refuse("has a NUL character, which is not allowed")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            return _refuse(f"has an unpaired surrogate ({value[error.start]!a})")
    return value


def _refuse(sentence: str) -> object:
    raise _WrongError(sentence)


def _arrays(
    batch: Mapping[str, list[object]],
    places: list[Place],
    wanted: Wanted,
    problems: RowProblems,
    schema: pyarrow.Schema | None,
) -> pyarrow.Table:
    import pyarrow

    arrays = {}
    for name, values in batch.items():
        if schema is not None:
            kind = schema.field(name).type
        elif name in wanted.others or any(isinstance(value, list) for value in values):
            kind = None
        else:
            kind = pyarrow.string()
        arrays[name] = _array(values, kind, name, places, problems)
    return pyarrow.table(arrays)


def _array(
    values: list[object], kind: pyarrow.DataType | None, name: str, places: list[Place], problems: RowProblems
) -> pyarrow.Array:
    """The values as one column; those with a different type from the first are problems."""
    import pyarrow

    errors = (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError, UnicodeEncodeError)
    try:
        return pyarrow.array(values, type=kind)
    except errors:
        first = next(value for value in values if value is not None)
        if kind is None:
            kind = pyarrow.array([first]).type
        for place, value in zip(places, values, strict=True):
            try:
                pyarrow.array([value], type=kind)
            except errors:
                problems.add(str(place), f"'{name}' is {shown(value)}, expected {kind} as in earlier rows")
        problems.refuse()
        raise


def _as_text(column: pyarrow.Array, name: str, as_label: bool, before: int, problems: RowProblems) -> pyarrow.Array:
    """A column as strings if it contains text (or whole-number labels); otherwise unchanged.

    Args:
        before: rows of earlier batches.
    """
    import pyarrow
    from pyarrow import compute, types

    if types.is_dictionary(column.type) and types.is_string(column.type.value_type):
        # One text may occur in a thousand rows: check it once, before it is expanded.
        if len(column.dictionary) and _suspicious(column.dictionary):
            _name_problems(column, name, as_label, before, problems)
        return column.dictionary_decode().cast(pyarrow.string())
    if as_label and types.is_integer(column.type):
        return compute.cast(column, pyarrow.string())
    if types.is_null(column.type):
        return column.cast(pyarrow.string())
    if types.is_string(column.type) or types.is_large_string(column.type) or types.is_string_view(column.type):
        if _suspicious(column):
            _name_problems(column, name, as_label, before, problems)
        return column.cast(pyarrow.string())
    return column


def _suspicious(column: pyarrow.Array) -> bool:
    """Whether any text is too long, has a NUL character or is not UTF-8."""
    import pyarrow
    from pyarrow import compute

    try:
        column.validate(full=True)
    except pyarrow.ArrowInvalid:
        return True
    longest = compute.max(compute.binary_length(column)).as_py() or 0
    if longest > MAX_CHARACTERS and (compute.max(compute.utf8_length(column)).as_py() or 0) > MAX_CHARACTERS:
        return True
    return bool(compute.any(compute.match_substring(column, "\0")).as_py())


def _name_problems(column: pyarrow.Array, name: str, as_label: bool, before: int, problems: RowProblems) -> None:
    """Add a problem for each faulty value.

    Raises:
        UserError: always, since there are problems.
    """
    for number, value in enumerate(_python_values(column), start=before + 1):
        if isinstance(value, UnicodeDecodeError):
            problems.add(number, f"'{name}' is not UTF-8")
            continue
        try:
            _text(value, as_label=as_label)
        except _WrongError as error:
            problems.add(number, f"'{name}' {error}")
    problems.refuse()


def _python_values(column: pyarrow.Array) -> Iterator[object]:
    for scalar in column:
        try:
            yield scalar.as_py()
        except UnicodeDecodeError as error:
            yield error


def _class_label(schema: pyarrow.Schema, label: str | None) -> dict[bytes, bytes] | None:
    """Only the metadata that marks the label as a ClassLabel for `datasets`; None if it is not one."""
    import pyarrow
    from datasets import ClassLabel, Features

    if label is None or label not in schema.names or b"huggingface" not in (schema.metadata or {}):
        return None
    own = pyarrow.schema([schema.field(label)], metadata=schema.metadata)
    try:
        features = Features.from_arrow_schema(own)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"column '{label}': the type that datasets recorded cannot be read: {error}") from None
    if not isinstance(features[label], ClassLabel):
        return None
    metadata: dict[bytes, bytes] = Features({label: features[label]}).arrow_schema.metadata
    return metadata
