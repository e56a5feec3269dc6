"""Reads and checks the training data, decides the labels and the tokenizer, and encodes once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.errors import UserError
from edgedistill.recipe import DataSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs
from edgedistill.tokenizer_checks import check_split, refuse_more_tokens_than_rows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from edgedistill.class_order import Match
    from edgedistill.contracts.task import Task
    from edgedistill.data import PreparedData

VERSION = 7


class Settings(Spec):
    """What to read, of which only `train` here, and with which tokenizer."""

    task: str
    data: DataSpec
    tokenizer: str | None
    revision: str
    vocabulary: int | None
    teacher_labels: bool
    """Take the label order of a teacher that is used as it is."""
    content: str
    """Fingerprint of the training data, which the key holds: what is read must have it still."""


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `train/` (rows and items), `tokenizer/` and `data.json` (labels, columns).

    With an input `tokens`, another data step, its tokenizer is taken: a body that goes on reads the same tokens.
    """
    from edgedistill import data as prepared
    from edgedistill.class_order import renamed
    from edgedistill.reading import described, read_rows, refuse_changed
    from edgedistill.row_tables import Wanted
    from edgedistill.tokenizer_files import save_tokenizer

    task: Task = plugins.task(settings.task)
    source, names = settings.data.train, settings.data.labels
    name = described(source)
    read = task.data.columns
    columns = {key: settings.data.columns.get(key, key) for key in read.known if key not in read.optional}
    columns |= {key: settings.data.columns[key] for key in read.optional if key in settings.data.columns}
    wanted = Wanted.of(task, columns, label=read.in_training)
    raw = read_rows(source, "data.train", context.scratch / "cache", wanted)
    refuse_changed("data.train", source, settings.content)
    rows = raw if wanted.label is None else prepared.named(raw, wanted.label, names)
    prepared.check_rows(rows, task, columns, name, labelled=wanted.label is not None)
    labels = renamed(task.data.label_names(raw, columns), names, name)
    if len(labels) == 1:
        raise UserError(f"{name}: column '{wanted.label}' holds 1 label, expected at least 2")
    match: Match | None = None
    if labels and settings.teacher_labels and settings.tokenizer is not None:
        labels, match = _teacher_order(labels, settings.tokenizer, settings.revision, context)
    tokenizer = None
    if "tokens" in inputs:
        tokenizer = prepared.PreparedData.of(inputs, "tokens").load_tokenizer()
    elif task.data.tokens:
        tokenizer = _tokenizer(settings, rows, columns, task)
    embeddings = None
    if tokenizer is not None:
        if settings.tokenizer is not None and "tokens" not in inputs:
            embeddings = _embedding_rows(settings.tokenizer, settings.revision, tokenizer, task)
        save_tokenizer(tokenizer, settings.data.max_length, folder / "tokenizer")
    write_json(
        folder / "data.json",
        {
            "labels": labels,
            "renamed_labels": dict(names),
            "teacher_labels": match,
            "columns": columns,
            "max_length": settings.data.max_length,
            "embedding_rows": embeddings,
        },
    )
    for warning in publish_split(folder, "train", rows, task, prepared.PreparedData(folder), {}):
        context.progress.say(f"      warning: {warning}")


def publish_split(
    folder: Path,
    split: str,
    rows: Dataset,
    task: Task,
    data: PreparedData,
    repeated: Mapping[str, Sequence[tuple[int, int, str]]],
) -> Sequence[str]:
    """Write `SPLIT/rows` (Arrow), `SPLIT/items.safetensors` and `SPLIT/split.json`; warnings about the texts.

    Args:
        data: whose tokenizer and labels are taken.
        repeated: by earlier split, the rows that stand there too: (row there, row here, text).

    Raises:
        UserError: the tokenizer doesn't know the texts, or the model not the tokens.
    """
    from edgedistill import data as prepared

    encoder, warnings = data.encoder(), list[str]()
    items = prepared.encode(rows, task, encoder)
    prepared.save_table(rows, folder / split / "rows")
    items.save(folder / split / prepared.ITEMS)
    facts: dict[str, object] = {
        "rows": len(rows),
        "sha256": prepared.content_hash(rows, task, data.columns),
        "duplicates": {earlier: [list(each) for each in found[:50]] for earlier, found in repeated.items()},
        "duplicate_counts": {earlier: len(found) for earlier, found in repeated.items()},
    }
    if encoder.tokenizer is not None:
        found, warnings = check_split(items, encoder.tokenizer, data.embedding_rows, f"data.{split}")
        facts["token_coverage"] = found.facts()
    write_json(folder / split / prepared.SPLIT_FACTS, facts)
    return warnings


def _tokenizer(settings: Settings, rows: Dataset, columns: dict[str, str], task: Task) -> PreTrainedTokenizerBase:
    """The teacher's own tokenizer, or a WordPiece vocabulary learned from the training texts."""
    from edgedistill.models import give_padding_token, load_tokenizer

    if settings.tokenizer is not None:
        tokenizer = load_tokenizer(settings.tokenizer, settings.revision)
        give_padding_token(tokenizer)
        if not tokenizer.is_fast:
            raise UserError(f"teacher.model: '{settings.tokenizer}' has no tokenizer.json; expected a fast tokenizer")
        return tokenizer
    from edgedistill.data import each_row
    from edgedistill.learned_vocabulary import learn_tokenizer

    texts = (task.data.show(row, columns) for row in each_row(rows))
    return learn_tokenizer(texts, settings.vocabulary or 2000, settings.data.max_length)


def _embedding_rows(model: str, revision: str, tokenizer: PreTrainedTokenizerBase, task: Task) -> int | None:
    """Rows of the teacher's embeddings.

    Raises:
        UserError: the tokenizer has more tokens; or the teacher's files are not in order.
    """
    from edgedistill.models import embedding_rows

    rows = embedding_rows(task.model.auto_class(), model, revision)
    if rows is not None:
        refuse_more_tokens_than_rows(tokenizer, rows, f"teacher.model: '{model}'")
    return rows


def _teacher_order(labels: list[str], model: str, revision: str, context: Context) -> tuple[list[str], Match]:
    """The data's labels in the order of a teacher that is used as it is, and how they were matched.

    Raises:
        UserError: its labels are not the data's.
    """
    from edgedistill.class_order import teacher_order
    from edgedistill.models import load_config

    own = [str(name) for _, name in sorted(load_config(model, revision).id2label.items())]
    order, match = teacher_order(labels, own, model)
    if match == "case":
        context.progress.say(
            f"      the teacher's labels are the data's but for upper and lower case: {own[0]} is {order[0]}, ..."
        )
    if match == "number":
        context.progress.say(f"      the teacher's outputs have no names: label 0 of the data is {own[0]}, ...")
    return order, match
