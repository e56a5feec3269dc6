"""What a recipe says of further views of its texts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from edgedistill.spec import ModelRef, Spec


class AugmentSpec(Spec):
    """Further views of every text of a stage; each figure but `copies` and `join` is the share of words it changes."""

    copies: int = Field(1, ge=1)
    """Views of each text."""
    delete: float = Field(0.0, ge=0, lt=1)
    """Share of the words left out."""
    swap: float = Field(0.0, ge=0, lt=1)
    """With the next word."""
    typo: float = Field(0.0, ge=0, lt=1)
    """Share of the words misspelt."""
    mask: float = Field(0.0, ge=0, lt=1)
    """By the tokenizer's mask token."""
    replace: float = Field(0.0, ge=0, lt=1)
    """By what `masked_lm` finds likely in their place."""
    masked_lm: Annotated[str | None, ModelRef()] = None
    """A masked language model: hub id or folder."""
    join: float = Field(0.0, ge=0, le=1)
    """Share of views that are the first half of their text and the second half of another; these have no label."""
    labels: bool = True
    """Whether a view keeps its text's label."""

    @model_validator(mode="after")
    def _something(self) -> AugmentSpec:
        if not any((self.delete, self.swap, self.typo, self.mask, self.replace, self.join)):
            raise ValueError("expected at least one of 'delete', 'swap', 'typo', 'mask', 'replace', 'join' above 0")
        if (self.replace > 0) != (self.masked_lm is not None):
            raise ValueError("expected 'replace' and 'masked_lm' together")
        return self
