"""What plug-ins are told of a task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class AutoClass(Protocol):
    """One of `transformers`' auto classes (`AutoModelForSequenceClassification`)."""

    def from_pretrained(self, source: str | Path, **options: object) -> PreTrainedModel: ...

    def from_config(self, config: PreTrainedConfig) -> PreTrainedModel: ...
