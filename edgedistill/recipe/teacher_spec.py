"""The recipe's teacher, and how it is fine-tuned."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from edgedistill.spec import ModelRef, Spec


class Schedule(Spec):
    """Training schedule: AdamW with linear warm-up, then cosine decay to zero."""

    epochs: int = Field(3, ge=1)
    """Passes over the data."""
    learning_rate: float = Field(5e-5, gt=0)
    """Peak learning rate, reached after the warm-up."""
    batch_size: int = Field(32, ge=1)
    """Items per step."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Fraction of the steps used for warm-up."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Maximum gradient norm; larger gradients are clipped."""


class Architecture(Spec):
    """A teacher to train from scratch, for demonstrations and tests; for text, with its own WordPiece vocabulary."""

    layers: int = Field(ge=1)
    """Transformer layers."""
    hidden_size: int = Field(ge=8)
    """Width of the hidden states."""
    heads: int | None = Field(None, ge=1)
    """Attention heads; required for text, as is `intermediate_size`; neither applies to images."""
    intermediate_size: int | None = Field(None, ge=8)
    """Width of the feed-forward layers."""
    vocabulary: int = Field(2000, ge=50)
    """Vocabulary size; the vocabulary is learned from the training texts."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout probability during training."""


class TeacherSpec(Spec):
    """The large model: a Hub id or folder, or an architecture to train from scratch."""

    model: Annotated[str | None, ModelRef(revision="revision")] = None
    """A model id on the Hub, or a folder with safetensors weights."""
    revision: str = "main"
    """Branch, tag or commit of a Hub model. The plan pins the commit."""
    scratch: Architecture | None = None
    """An architecture to train from scratch instead."""
    fine_tune: Schedule | None = None
    """Fine-tuning schedule; omit if the model is already fine-tuned for the task."""
    accept_chance: bool = False
    """Accept a teacher that is not fine-tuned even if its validation score is no better than chance."""

    @model_validator(mode="after")
    def _one_origin(self) -> TeacherSpec:
        if (self.model is None) == (self.scratch is None):
            raise ValueError("expected either 'model' or 'scratch'")
        if self.scratch is not None and self.fine_tune is None:
            raise ValueError("a teacher from 'scratch' needs 'fine_tune' (epochs, learning_rate, batch_size)")
        return self
