"""The rows of each split, and how they are written."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..harness import Expected
from ..world import SPLITS

Row = dict[str, object]


@dataclass
class Data:
    """The rows of each split, the format that they are written in, and what is done to the written files."""

    rows: dict[str, list[Row]]
    form: str
    expected: Expected = "works"
    files: list[Callable[[Path], None]] = field(default_factory=list)
    """Each is given the folder."""
    columns: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Other file names than `SPLIT.FORMAT`."""
    folder: str = "data"
    types: dict[str, object] = field(default_factory=dict)
    """Of parquet columns."""

    def name(self, split: str) -> str:
        """The file of a split."""
        return self.names.get(split, f"{split}.{self.form}")


Mutation = Callable[[Data, random.Random], None]


TEXTS = (
    "001", "1.10", "1e5", "0x10", "-0", "+1", "1_000", "None", "NA", "N/A", "null", "nan", "NaN", "true", "False",
    "2020-01-01",
    "2020-01-01T00:00:00Z", "12:30", "inf", "[1, 2]", '{"a": 1}', "#N/A", "-", '"', "'", '""', 'say "hi"', "a,b",
    "a;b\tc", "=1+1",
    " leading", "trailing ", "two  spaces", "tab\there", "\ufeffmark", "zero\u200bwidth", "\u202eright", "é",
    "e\u0301", "日本語", "🙂", "a\\b",
    "\\n", "a\u2028b", "a\u0085b", "\u00a0", "<b>", "%s %d", "{}", "${HOME}",
)  # fmt: skip


def some(rows: Sequence[Row], rng: random.Random, share: float = 0.1) -> list[Row]:
    return rng.sample(list(rows), max(1, round(len(rows) * share)))


def any_split(rng: random.Random) -> str:
    return rng.choice(list(SPLITS))
