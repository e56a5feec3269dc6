"""The tokenizer of a student that has its own, and every split in its tokens."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.recipe import StudentSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

VERSION = 1


class Settings(Spec):
    """The student whose initialisation makes a tokenizer."""

    task: str
    student: StudentSpec


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish what the data step does, in other tokens, and `kept_tokens.json`: their ids in the source's tokenizer."""
    from edgedistill.data import PreparedData, pad_token, tokenise
    from edgedistill.models import load_tokenizer

    source = PreparedData(inputs["data"].folder)
    initialisation = plugins.find("students", settings.student.init)
    kept = initialisation.make_tokenizer(
        settings.student, source.tokenizer, source.tokens("train"), folder / "tokenizer"
    )
    tokenizer = load_tokenizer(folder / "tokenizer")
    label_ids = {label: i for i, label in enumerate(source.labels)}
    task = plugins.find("tasks", settings.task)
    facts = inputs["data"].read_json("data.json")
    rows = facts["rows"]
    assert isinstance(rows, dict)
    for split in rows:
        shutil.copytree(source.folder / split / "rows", folder / split / "rows", copy_function=_link)
        tokens = tokenise(source.rows(split), task, source.columns, tokenizer, label_ids, source.max_length)
        tokens.save_to_disk(str(folder / split / "tokens"))
    write_json(folder / "kept_tokens.json", kept)
    write_json(folder / "data.json", {**facts, "pad_token": pad_token(tokenizer)})
    context.progress.say(f"      {len(kept)} of {len(load_tokenizer(source.tokenizer))} tokens kept")


def _link(source: str, destination: str) -> None:
    """The rows are the same: a second name for the file where the file system allows it, else a copy."""
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)
