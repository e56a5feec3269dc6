"""A further split in the tokens of a student that has a tokenizer of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edgedistill import plugins
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

from .retokenise import publish_retokenised

VERSION = 3


class Settings(Spec):
    """Which split."""

    task: str
    split: Literal["validation", "test", "unlabeled"]


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `SPLIT/` of the input `source` in the tokens of the input `data`."""
    from edgedistill.data import PreparedData

    task = plugins.task(settings.task)
    source, data = PreparedData.of(inputs, "source"), PreparedData.of(inputs)
    publish_retokenised(folder, settings.split, source, data, task)
