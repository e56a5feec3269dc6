"""The recipe's data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgedistill.spec import LocalPath, Spec

SplitName = Literal["train", "validation", "test", "unlabeled"]


class DataSource(Spec):
    """One data set: a file or folder, a Hub id, or one bundled with an installed library."""

    path: Annotated[str | None, LocalPath()] = None
    """A jsonl, csv or parquet file, or a folder saved by `datasets`; relative to the recipe."""
    hub: str | None = None
    """A data set's id on the Hub."""
    bundled: Literal["digits"] | None = None
    """A data set bundled with an installed library."""
    subset: str | None = None
    """Configuration of a `hub` data set."""
    revision: str = "main"
    """Branch, tag or commit of a `hub` data set. The plan pins the commit."""
    split: str | None = None
    """A split or slice of the source in `datasets` notation: `train[:90%]`. A file has one split, `train`, which may be
    called after the key as well: for `validation`, `validation[:10%]`."""

    @model_validator(mode="after")
    def _one_origin(self) -> DataSource:
        if sum(origin is not None for origin in (self.path, self.hub, self.bundled)) != 1:
            raise ValueError("expected one of 'path', 'hub', 'bundled'")
        return self


class DataSpec(Spec):
    """The data sets and the names of their columns."""

    train: DataSource
    """The training set."""
    validation: DataSource
    """For model selection; never trained on."""
    test: DataSource
    """Held out for the reported figures; never used for any choice."""
    unlabeled: DataSource | None = None
    """Examples without labels, for which the teacher's answers are the only targets."""
    columns: Mapping[str, str] = Field(default_factory=dict)
    """Names of the task's columns in the data: `{text: utterance, label: intent}`."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """New names for the labels (label in the data -> name), such as the class names of a teacher that is not
    fine-tuned. All of them or none."""
    max_length: int = Field(128, ge=4)
    """Tokens per input; longer texts are truncated, and texts of language models are split into windows."""

    @model_validator(mode="after")
    def _names_differ(self) -> DataSpec:
        twice = sorted({name for name in self.labels.values() if list(self.labels.values()).count(name) > 1})
        if twice:
            raise ValueError(f"expected 'labels' with a different name for every label, got {twice[0]!r:.80} twice")
        if "" in self.labels or "" in self.labels.values():
            raise ValueError("expected 'labels' without empty names")
        return self

    def splits(self) -> dict[SplitName, DataSource]:
        """The given data sets, by name."""
        named: dict[SplitName, DataSource | None] = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "unlabeled": self.unlabeled,
        }
        return {name: source for name, source in named.items() if source is not None}
