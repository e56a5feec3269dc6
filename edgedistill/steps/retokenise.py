"""The tokenizer of a student that has its own, and the training data in its tokens."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill import plugins
from edgedistill.step import Context
from edgedistill.store.records.data import TokenisedData

from .kinds.retokenise import Inputs, Settings

if TYPE_CHECKING:
    from edgedistill.data import PreparedData
    from edgedistill.interfaces import Task


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> TokenisedData:
    """Publish what the data step does, in other tokens."""
    from edgedistill.data import PreparedData, pad_token
    from edgedistill.models import load_tokenizer
    from edgedistill.tokenizer_files import save_tokenizer

    source = PreparedData.of(inputs.data)
    make_tokenizer = plugins.student(settings.student.init).make_tokenizer
    assert make_tokenizer is not None, "the plan has this step for students with a tokenizer of their own"
    kept = make_tokenizer(settings.student, source.tokenizer, source.tokens("train"), folder / "tokenizer")
    save_tokenizer(load_tokenizer(folder / "tokenizer"), source.max_length, folder / "tokenizer")
    own = {"pad_token": pad_token(load_tokenizer(folder / "tokenizer")), "embedding_rows": None}
    made = source.facts.model_copy(update={**own, "kept_tokens": tuple(kept)})
    publish_retokenised(folder, "train", source, PreparedData(folder, made), plugins.task(settings.task))
    context.progress.say(f"      {len(kept)} of {len(load_tokenizer(source.tokenizer))} tokens kept")
    return made


def publish_retokenised(folder: Path, split: str, source: PreparedData, data: PreparedData, task: Task) -> None:
    """Write a split of `source` in the tokens of `data`; its rows and what was found in them stay."""
    from edgedistill.data import save_table, tokenise

    label_ids = {label: i for i, label in enumerate(data.labels)}
    rows = source.rows(split)
    tokens = tokenise(rows, task, data.columns, data.load_tokenizer(), label_ids, data.max_length)
    save_table(tokens, folder / split / "tokens")
    shutil.copytree(source.place(split) / "rows", folder / split / "rows", copy_function=_link)


def _link(source: str, destination: str) -> None:
    """The rows are the same: a second name for the file where the file system allows it, else a copy."""
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)
