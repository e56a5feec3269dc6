"""What a person reads of a model besides its figures: how it continues the beginnings of held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from edgedistill.contracts.task import Encoder


@dataclass(frozen=True)
class Beginnings:
    """What models are asked to continue."""

    texts: tuple[str, ...]
    """As a person reads them; the same for models with other tokens."""
    tokens: tuple[tuple[int, ...], ...]
    """The same in the tokens of the model that is asked."""
    count: int
    """Of the tokens that are to follow."""


@dataclass(frozen=True)
class Samples:
    """What a task's models are asked to continue: those of torch by `TaskModel.decoder`, files by `Driver.decoder`.

    Args:
        beginnings: (rows by column, encoder) -> a beginning of each row.
        text: (tokens of a beginning, those that follow, tokenizer) -> what follows, as a person reads it: as far as the
            text goes.
    """

    beginnings: Callable[[Mapping[str, Sequence[object]], Encoder], Beginnings]
    text: Callable[[Sequence[int], Sequence[int], PreTrainedTokenizerBase], str]
