"""A student's own tokenizer, and the training data in its tokens."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from edgedistill.contracts import registry
from edgedistill.contracts.items import Items
from edgedistill.contracts.task import Task
from edgedistill.contracts.task_spec import TaskSpec
from edgedistill.data.prepared import ITEMS, PreparedData, encode
from edgedistill.errors import UserError
from edgedistill.models.loading import load_tokenizer
from edgedistill.models.tokenizer_files import save_tokenizer
from edgedistill.steps.kinds.retokenise import Inputs, Settings
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.step import Context
from edgedistill.vocabulary.trimming import ADDED_BYTE


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> TokenisedData:
    """Publish the same as the data step, in other tokens."""
    source = PreparedData.of(inputs.data)
    make_tokenizer = registry.student(settings.student.init).make_tokenizer
    assert make_tokenizer is not None, "the plan has this step for students with a tokenizer of their own"
    texts = [source.items(split).token_ids for split in ("train", *inputs.data.splits)]
    kept = make_tokenizer(settings.student, source.tokenizer, np.concatenate(texts), folder / "tokenizer")
    save_tokenizer(load_tokenizer(folder / "tokenizer"), source.max_length, folder / "tokenizer")
    made = source.facts.model_copy(update={"embedding_rows": None, "kept_tokens": tuple(kept)})
    publish_retokenised(folder, "train", source, PreparedData(folder, made), settings.task)
    added = kept.count(ADDED_BYTE)
    more = f", {added} added for bytes that had none" if added else ""
    context.progress.say(f"      {len(kept) - added} of {len(load_tokenizer(source.tokenizer))} tokens kept{more}")
    return made


def publish_retokenised(folder: Path, split: str, source: PreparedData, data: PreparedData, spec: TaskSpec) -> None:
    """Write a split of `source` in the tokens of `data`, keeping its rows and findings.

    Raises:
        UserError: the decisions differ in these tokens, so signals and answers in the other tokens would be mismatched;
            unless decisions are tokens, for which the teacher's distribution is projected.
    """
    task = registry.task(spec.type)
    items = encode(source.rows(split), task, data.encoder(spec))
    if task.data.sequences is None:
        _refuse_other_decisions(items, split, source, task)
    shutil.copytree(source.place(split) / "rows", folder / split / "rows", copy_function=_link)
    items.save(folder / split / ITEMS)


def _refuse_other_decisions(items: Items, split: str, source: PreparedData, task: Task) -> None:
    before, after = (task.data.references(version) for version in (source.items(split), items))
    if not (np.array_equal(before.item, after.item) and np.array_equal(before.example, after.example)):
        raise UserError(
            f"data.max_length: a student with its own tokenizer gets {len(after)} decisions on {split}, but its source "
            f"{len(before)}, since each truncates at {source.max_length} of its own tokens; expected a larger "
            "number, or a student that keeps the tokenizer"
        )


def _link(source: str, destination: str) -> None:
    """The rows are the same: a second name for the file where the file system allows it, else a copy."""
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)
