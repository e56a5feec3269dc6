"""Data as an input of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgedistill.store.handle import Artifact
from edgedistill.store.records.data import PreparedSplit, TokenisedData


@dataclass(frozen=True)
class DataInputs:
    """A data step with the training split, and the other splits that are read. Each of these is a separate step, so
    that a new test set does not cause retraining."""

    base: Artifact[TokenisedData]
    splits: Mapping[str, Artifact[PreparedSplit]] = field(default_factory=dict)

    def reading(self, *splits: str) -> DataInputs:
        """The same with only these other splits; `train` is always included."""
        return DataInputs(self.base, {split: self.splits[split] for split in splits if split != "train"})
