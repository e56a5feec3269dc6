"""Approximate amount of text in a local data set, without reading it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from edgedistill.recipe.data_spec import DataSource

_SLICE = re.compile(r"\[(-?\d+%?)?:(-?\d+%?)?\]$")


def text_bytes(source: DataSource, columns: Collection[str]) -> int:
    """Bytes of a source's files (uncompressed, for parquet), scaled to its slice.

    Args:
        columns: columns to read; none: all.
    """
    path = Path(source.path or "")
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    sizes = [_size(file, columns) for file in files]
    rows = [_rows(file) for file in files] if source.split and "%" not in source.split else [0]
    return round(sum(sizes) * _share(source.split or "", sum(rows)))


def _size(file: Path, columns: Collection[str]) -> int:
    if file.suffix != ".parquet":
        return file.stat().st_size
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    try:
        described = read_metadata(file)
    except (ArrowException, OSError):
        return file.stat().st_size  # the data step reports what is wrong with it
    groups = [described.row_group(number) for number in range(described.num_row_groups)]
    parts = [group.column(number) for group in groups for number in range(group.num_columns)]
    named = [part for part in parts if not columns or part.path_in_schema.split(".")[0] in columns]
    return sum(part.total_uncompressed_size for part in named)


def _rows(file: Path) -> int:
    """For a file; its lines, if it is not parquet."""
    if file.suffix != ".parquet":
        with file.open("rb") as lines:
            return sum(1 for _ in lines)
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    try:
        return int(read_metadata(file).num_rows)
    except (ArrowException, OSError):
        return 0


def _share(split: str, rows: int) -> float:
    """Share of the rows in `train[10%:20%]` or `train[:500]`; 1 without a slice."""
    found = _SLICE.search(split)
    if found is None:
        return 1.0

    def place(given: str | None, otherwise: float) -> float:
        if given is None:
            return otherwise
        number = float(given.removesuffix("%")) / 100 if given.endswith("%") else int(given) / max(rows, 1)
        return min(max(number + 1 if number < 0 else number, 0.0), 1.0)

    return max(place(found[2], 1.0) - place(found[1], 0.0), 0.0)
