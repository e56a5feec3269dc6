"""Data as a step is given it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgedistill.store.handle import Artifact
from edgedistill.store.records.data import PreparedSplit, TokenisedData


@dataclass(frozen=True)
class DataInputs:
    """A data step, with the training split, and those of its further splits that are read: each is a step of its own,
    so that a new test set retrains nothing."""

    base: Artifact[TokenisedData]
    splits: Mapping[str, Artifact[PreparedSplit]] = field(default_factory=dict)

    def reading(self, *splits: str) -> DataInputs:
        """The same with only these further splits; `train` is always there."""
        return DataInputs(self.base, {split: self.splits[split] for split in splits if split != "train"})
