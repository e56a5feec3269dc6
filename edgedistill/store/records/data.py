"""Records of data steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from edgedistill.store.records.base import Record, Spec


@dataclass(frozen=True)
class Coverage:
    """Tokenizer statistics of a split's texts, without special tokens."""

    texts: int
    tokens: int
    unknown: int
    """Number of unknown tokens."""
    empty: int
    """Number of texts without any tokens."""
    example: int | None
    """The first row (from 1) with an unknown token or no tokens."""


class Duplicate(NamedTuple):
    """A text in two splits: its rows in both (from 1), and its first characters."""

    there: int
    here: int
    text: str


class SplitFacts(Spec):
    """Findings in a split."""

    rows: int
    sha256: str
    """Hash of the columns that the task reads."""
    duplicates: Mapping[str, tuple[Duplicate, ...]]
    """The first texts that also occur in each earlier split."""
    duplicate_counts: Mapping[str, int]
    token_coverage: Coverage | None
    """None for a task without tokens."""


class TokenisedData(Record):
    """Labels, columns and tokenizer, and splits in its tokens: `SPLIT/rows` and `SPLIT/items.safetensors`."""

    SCHEMA: ClassVar[str] = "tokenised-data/2"

    labels: tuple[str, ...]
    """In the order of their ids."""
    renamed_labels: Mapping[str, str]
    """New names of the labels from `data.labels`; empty if they keep their names."""
    teacher_labels: Literal["exact", "case", "number"] | None
    """How the labels were matched with those of a teacher that is not fine-tuned."""
    columns: Mapping[str, str]
    """Names of the task's columns in the data."""
    max_length: int
    """The longest input in tokens."""
    embedding_rows: int | None
    """Rows of the teacher's embeddings; None if the teacher is built for the tokenizer."""
    kept_tokens: tuple[int, ...] | None = None
    """For a tokenizer derived from another: the ids of its tokens there, -1 for bytes that it lacks."""
    splits: Mapping[str, SplitFacts] = {}
    """Of the splits that were read here; not of views."""


class PreparedSplit(Record):
    """Another split in the tokens of a data step: `SPLIT/rows` and `SPLIT/tokens`."""

    SCHEMA: ClassVar[str] = "prepared-split/2"

    split: str
    facts: SplitFacts
