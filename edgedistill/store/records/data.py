"""Of the steps that read data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from edgedistill.store.records.base import Record, Spec


@dataclass(frozen=True)
class Coverage:
    """What a tokenizer makes of a split's texts, special tokens aside."""

    texts: int
    tokens: int
    unknown: int
    """Tokens that stand for what the vocabulary doesn't have."""
    empty: int
    """Texts of which nothing is left."""
    example: int | None
    """The first row (from 1) that has an unknown token or nothing left."""


class Duplicate(NamedTuple):
    """A text that two splits have: the rows there and here (from 1), and its first characters."""

    there: int
    here: int
    text: str


class SplitFacts(Spec):
    """What was found in a split."""

    rows: int
    sha256: str
    """Of what the task reads of every row."""
    duplicates: Mapping[str, tuple[Duplicate, ...]]
    """By earlier split, the first texts that stand there too."""
    duplicate_counts: Mapping[str, int]
    token_coverage: Coverage | None
    """None for a task without tokens."""


class TokenisedData(Record):
    """Labels, columns and tokenizer, and splits in its tokens: `SPLIT/rows` and `SPLIT/items.safetensors`."""

    SCHEMA: ClassVar[str] = "tokenised-data/2"

    labels: tuple[str, ...]
    """In the order of their ids."""
    renamed_labels: Mapping[str, str]
    """What the recipe's `data.labels` calls the labels of the data; empty where they keep their names."""
    teacher_labels: Literal["exact", "case", "number"] | None
    """How the labels were matched with those of a teacher that is used as it is."""
    columns: Mapping[str, str]
    """What the task's columns are called in the data."""
    max_length: int
    """The longest input in tokens."""
    embedding_rows: int | None
    """Rows of the teacher's embeddings; None where the teacher is made for the tokenizer."""
    kept_tokens: tuple[int, ...] | None = None
    """Of a tokenizer that was made of another: the ids there of its tokens."""
    splits: Mapping[str, SplitFacts] = {}
    """Of the splits that were read here; not of views."""


class PreparedSplit(Record):
    """A further split in the tokens of a data step: `SPLIT/rows` and `SPLIT/tokens`."""

    SCHEMA: ClassVar[str] = "prepared-split/2"

    split: str
    facts: SplitFacts
