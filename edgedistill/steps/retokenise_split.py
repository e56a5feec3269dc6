"""Another split in the tokens of a student with its own tokenizer."""

from __future__ import annotations

from pathlib import Path

from edgedistill.data.prepared import PreparedData
from edgedistill.steps.kinds.retokenise_split import Inputs, Settings
from edgedistill.steps.retokenise import publish_retokenised
from edgedistill.store.records.data import PreparedSplit
from edgedistill.store.step import Context


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> PreparedSplit:
    """Publish `SPLIT/` of the input `source` in the tokens of the input `data`."""
    source, data = PreparedData.of(inputs.source), PreparedData.of(inputs.data)
    publish_retokenised(folder, settings.split, source, data, settings.task)
    return PreparedSplit(split=settings.split, facts=source.split_facts(settings.split))
