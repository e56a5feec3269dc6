"""Sample texts in a report: how models continue prefixes of held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from edgedistill.contracts.task import Encoder


@dataclass(frozen=True)
class Beginnings:
    """The prefixes that models continue."""

    texts: tuple[str, ...]
    """As readable text, independent of the tokenizer."""
    tokens: tuple[tuple[int, ...], ...]
    """The same in the model's tokens."""
    count: int
    """Number of tokens to generate."""


@dataclass(frozen=True)
class Samples:
    """Prefixes that a task's models continue: PyTorch models through `TaskModel.decoder`, files through
    `Driver.decoder`.

    Args:
        beginnings: (rows by column, encoder) -> a prefix of each row.
        text: (tokens of a prefix, tokens of its continuation, tokenizer) -> the continuation as readable text, up to
            the end of text.
    """

    beginnings: Callable[[Mapping[str, Sequence[object]], Encoder], Beginnings]
    text: Callable[[Sequence[int], Sequence[int], PreTrainedTokenizerBase], str]
