"""The part of a recipe on augmented views of the texts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from edgedistill.spec import ModelRef, Spec


class AugmentSpec(Spec):
    """Augmented views of every text of a stage."""

    copies: int = Field(1, ge=1)
    """Views per text."""
    delete: float = Field(0.0, ge=0, lt=1)
    """Fraction of words to delete."""
    swap: float = Field(0.0, ge=0, lt=1)
    """Fraction of words to swap with the next word."""
    typo: float = Field(0.0, ge=0, lt=1)
    """Fraction of words to misspell."""
    mask: float = Field(0.0, ge=0, lt=1)
    """Fraction of words to replace with the tokenizer's mask token."""
    replace: float = Field(0.0, ge=0, lt=1)
    """Fraction of words to replace with likely predictions of `masked_lm`."""
    masked_lm: Annotated[str | None, ModelRef()] = None
    """A masked language model for `replace`: Hub id or folder."""
    join: float = Field(0.0, ge=0, le=1)
    """Fraction of views that join the first half of a text with the second half of another; these have no label."""
    labels: bool = True
    """Whether a view keeps its text's label."""

    @model_validator(mode="after")
    def _something(self) -> AugmentSpec:
        if not any((self.delete, self.swap, self.typo, self.mask, self.replace, self.join)):
            raise ValueError("expected at least one of 'delete', 'swap', 'typo', 'mask', 'replace', 'join' above 0")
        if (self.replace > 0) != (self.masked_lm is not None):
            raise ValueError("expected 'replace' and 'masked_lm' together")
        return self
