"""What each kind of plug-in module must offer. The engine knows these protocols and nothing behind them.

Shapes: B items, T tokens, C classes, H hidden size, R rows. A *row* is one decision of the task: a text classifier
makes one a text (R = B), a token classifier one a word. Everything that is recorded, compared or scored is rows with
`offsets` (N + 1,) that say which rows belong to which item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats, Integers
from .contracts.task import AutoClass

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from .recipe import Architecture

Batch = dict[str, "torch.Tensor"]
Inputs = dict[str, NDArray[np.generic]]
MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "pixel_values")
"""The columns that models take, of those that a task's `encode` makes."""


@dataclass(frozen=True)
class Rows:
    """Logits of a data split, one row a decision: `values` (R, C) float32, `offsets` (N + 1,) int64."""

    values: Floats
    offsets: Integers

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, items: Integers) -> Rows:
        """The rows of these items only, in that order."""
        lengths = np.diff(self.offsets)[items]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        starts = np.repeat(self.offsets[:-1][items] - offsets[:-1], lengths)
        return Rows(np.asarray(self.values)[starts + np.arange(offsets[-1])], offsets)


@dataclass(frozen=True)
class Metric:
    """A task's metric, the higher the better.

    `score(decisions (R,), references (R,))` gives the figure. `per_row` gives each row's share where the figure is
    their mean (accuracy), which makes resampling cheap; None where it isn't one (F1).
    """

    score: Callable[[Integers, Integers], float]
    per_row: Callable[[Integers, Integers], Floats] | None = None


@dataclass(frozen=True)
class Columns:
    """The data columns a task reads: name in the recipe -> what it holds (`text`, `label`, `tokens`, `tags`)."""

    required: tuple[str, ...]
    labels: str
    optional: tuple[str, ...] = ()


class Task(Protocol):
    """A module in `tasks/`: everything that the rest must not know about a task."""

    VERSION: int
    """Raised whenever it encodes, scores or decides otherwise."""
    COLUMNS: Columns
    TEXTS: tuple[str, ...]
    """Columns of free text, which may be changed without the labels losing their place; () where there are none."""
    TOKENS: bool
    """Whether the model reads text through the teacher's tokenizer."""
    METRICS: Mapping[str, Metric]

    def scratch_config(
        self, architecture: Architecture, vocabulary: int, length: int, labels: Mapping[str, object]
    ) -> PreTrainedConfig:
        """The configuration of a model that is trained from nothing."""

    def auto_class(self) -> AutoClass: ...

    def problem_in(self, row: Mapping[str, object], columns: Mapping[str, str], labelled: bool) -> str | None:
        """What is wrong with a raw row (`'text' is empty`), or None."""

    def label_names(self, rows: Dataset, columns: Mapping[str, str]) -> list[str]:
        """The label names of the training data, in the order of their ids."""

    def encode(
        self,
        rows: Mapping[str, Sequence[object]],
        columns: Mapping[str, str],
        tokenizer: PreTrainedTokenizerBase | None,
        label_ids: Mapping[str, int],
        max_length: int,
    ) -> dict[str, list[object]]:
        """Model inputs and `labels` (-100: none) of a batch of raw rows."""

    def rows(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(R, C) rows of a batch's logits, items in order."""

    def references(self, batch: Batch) -> torch.Tensor:
        """(R,) label ids of the same rows, -100 where there is none."""

    def row_counts(self, batch: Batch) -> torch.Tensor:
        """(B,) rows of each item."""

    def device_rows(self, outputs: Sequence[NDArray[np.generic]], batch: Mapping[str, NDArray[np.generic]]) -> Floats:
        """(R, C) rows of a device file's outputs on one padded batch."""

    def show(self, row: Mapping[str, object], columns: Mapping[str, str]) -> str:
        """A raw row as a person reads it in a list of flipped items."""


@runtime_checkable
class Session(Protocol):
    """A model file opened by a runtime."""

    input_names: list[str]

    def run(self, inputs: Inputs) -> list[NDArray[np.generic]]:
        """All outputs for one batch of int64 (B, T) arrays by name; inputs that the file doesn't have are left out."""

    def backend(self) -> dict[str, object]:
        """What really runs the file (execution providers, share of delegated operators), reported with the candidate.

        Raises:
            EdgedistillError: that is not the backend which the runtime is named for.
        """


@runtime_checkable
class MeasuresItself(Protocol):
    """A session whose file runs in another process than the one that measures (a browser's page): what that one sees
    from outside would be the way there and back, and its own memory."""

    load_ms: float
    last_ms: float
    """Of the last run; NaN before the first."""

    def memory_mb(self) -> tuple[float, float] | None:
        """Peak memory of that process since it held nothing of runtime and model, above what it held then, and that;
        None where the system doesn't tell."""
