"""Lengths of a data set in tokens, by a tokenizer's own file: neither a model nor transformers is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.arrays import evenly_spaced
from edgedistill.data.row_files import file_rows
from edgedistill.data.row_problems import RowProblems
from edgedistill.recipe.data_spec import DataSource

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_FILES = (".jsonl", ".json", ".csv")
_MOST_BYTES = 32 << 20
_MOST_ROWS = 2000


def token_lengths(source: DataSource, columns: Sequence[str], tokenizer: Path, max_length: int) -> list[int] | None:
    """Lengths of up to 2,000 rows, evenly spaced, special tokens included and truncated at `max_length`.

    None if the rows or the tokenizer cannot be read this way: a data set on the Hub, parquet, a slice, a large file.

    Args:
        columns: of the text, or of both texts of a pair.
        tokenizer: `tokenizer.json`.
    """
    path = Path(source.path or "")
    if source.split or path.suffix not in _FILES or not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None
    if (reader := _opened(tokenizer)) is None:
        return None
    rows = [row for _, row in file_rows(path, columns, RowProblems(str(path)))]
    texts = [texts for row in rows if (texts := _texts(row, columns)) is not None]
    if not texts:
        return None
    some = [texts[int(number)] for number in evenly_spaced(len(texts), _MOST_ROWS)]
    encoded = reader.encode_batch([own if len(own) > 1 else own[0] for own in some])
    return [min(len(one.ids), max_length) for one in encoded]


def _opened(file: Path) -> Tokenizer | None:
    from tokenizers import Tokenizer

    try:
        reader = Tokenizer.from_file(str(file))
    except Exception:  # noqa: BLE001 - the library raises this class itself; a run says what is wrong with the file
        return None
    reader.no_padding()
    reader.no_truncation()
    return reader


def _texts(row: Mapping[str, object], columns: Sequence[str]) -> tuple[str, ...] | None:
    found = tuple(text for name in columns if isinstance(text := row.get(name), str))
    return found if len(found) == len(columns) else None
