"""What a person reads of a model besides its figures: how it goes on from the beginnings of held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgedistill.arrays import Integers
from edgedistill.contracts.items import Items

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from edgedistill.contracts.task import Encoder


@dataclass(frozen=True)
class Beginnings:
    """What models are asked to go on from."""

    texts: tuple[str, ...]
    """As a person reads them; the same for models with other tokens."""
    items: Items
    """The same in tokens, an item each."""
    count: int
    """Of the tokens that are to follow."""


@dataclass(frozen=True)
class Samples:
    """How a task's models go on; what its files do is `Driver.samples`.

    Args:
        beginnings: (rows by column, encoder) -> a beginning of each row.
        of_model: (torch model, items, count) -> (N, count) tokens that follow each item.
        text: (tokens of an item, those that follow, tokenizer) -> what follows, as a person reads it: as far as the
            text goes.
    """

    beginnings: Callable[[Mapping[str, Sequence[object]], Encoder], Beginnings]
    of_model: Callable[[PreTrainedModel, Items, int], Integers]
    text: Callable[[Sequence[int], Sequence[int], PreTrainedTokenizerBase], str]
