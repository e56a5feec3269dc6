"""Reads and checks the training data, determines labels and tokenizer, and encodes once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts import registry
from edgedistill.contracts.task import Task
from edgedistill.contracts.task_spec import TaskSpec
from edgedistill.data import prepared
from edgedistill.data.class_order import Match, renamed, teacher_order
from edgedistill.data.prepared import PreparedData, each_row
from edgedistill.data.reading import described, read_rows, refuse_changed
from edgedistill.data.row_tables import Wanted
from edgedistill.errors import UserError
from edgedistill.models.learned_vocabulary import learn_tokenizer
from edgedistill.models.loading import embedding_rows, give_padding_token, load_config, load_tokenizer
from edgedistill.models.tokenizer_checks import check_split, refuse_more_tokens_than_rows
from edgedistill.models.tokenizer_files import save_tokenizer
from edgedistill.steps.kinds.prepare_data import Inputs, Settings
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.records.data import Duplicate, SplitFacts, TokenisedData
from edgedistill.store.step import Context

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_SHOWN = 50
"""Number of repeated texts to keep as examples."""


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> TokenisedData:
    """Publish `train/` (rows and items) and `tokenizer/`."""
    task: Task = registry.task(settings.task.type)
    source, names = settings.train, settings.labels
    name = described(source)
    read = task.data.columns
    columns = read.read(settings.columns)
    wanted = Wanted.of(task, columns, label=read.in_training)
    raw = read_rows(source, "data.train", context.scratch / "cache", wanted)
    refuse_changed("data.train", source, settings.content)
    rows = raw if wanted.label is None else prepared.named(raw, wanted.label, names)
    prepared.check_rows(rows, task, columns, name, labelled=wanted.label is not None)
    labels = renamed(task.data.label_names(raw, columns), names, name)
    if len(labels) == 1:
        raise UserError(f"{name}: column '{wanted.label}' has only one distinct value; a classifier needs at least two")
    match: Match | None = None
    if labels and settings.teacher_labels and settings.tokenizer is not None:
        labels, match = _teacher_order(labels, settings.tokenizer, settings.revision, context)
    tokenizer = None
    if inputs.tokens is not None:
        tokenizer = prepared.PreparedData.of(DataInputs(inputs.tokens)).load_tokenizer()
    elif task.data.tokens:
        tokenizer = _tokenizer(settings, rows, columns, task)
    embeddings = None
    if tokenizer is not None:
        if settings.tokenizer is not None and inputs.tokens is None:
            embeddings = _embedding_rows(settings.tokenizer, settings.revision, tokenizer, task)
        save_tokenizer(tokenizer, settings.max_length, folder / "tokenizer")
    made = TokenisedData(
        labels=tuple(labels),
        renamed_labels=names,
        teacher_labels=match,
        columns=columns,
        max_length=settings.max_length,
        embedding_rows=embeddings,
    )
    found, warnings = publish_split(folder, "train", rows, settings.task, prepared.PreparedData(folder, made), {})
    for warning in warnings:
        context.progress.warn(warning)
    return made.model_copy(update={"splits": {"train": found}})


def publish_split(
    folder: Path,
    split: str,
    rows: Dataset,
    spec: TaskSpec,
    data: PreparedData,
    repeated: Mapping[str, Sequence[Duplicate]],
) -> tuple[SplitFacts, Sequence[str]]:
    """Write `SPLIT/rows` (Arrow) and `SPLIT/items.safetensors`; returns findings, and warnings about the texts.

    Args:
        spec: the recipe's task.
        data: the data whose tokenizer and labels to use.
        repeated: rows that also occur in each earlier split.

    Raises:
        UserError: the tokenizer does not cover the texts, or the model not the tokens, or there is nothing to predict.
    """
    task: Task = registry.task(spec.type)
    encoder, warnings = data.encoder(spec), list[str]()
    items = prepared.encode(rows, task, encoder)
    prepared.refuse_no_decisions(items, task, f"data.{split}")
    prepared.save_table(rows, folder / split / "rows")
    items.save(folder / split / prepared.ITEMS)
    coverage = None
    if encoder.tokenizer is not None:
        coverage, warnings = check_split(items, encoder.tokenizer, data.facts.embedding_rows, f"data.{split}")
    facts = SplitFacts(
        rows=len(rows),
        sha256=prepared.content_hash(rows, task, data.columns),
        duplicates={earlier: tuple(found[:_SHOWN]) for earlier, found in repeated.items()},
        duplicate_counts={earlier: len(found) for earlier, found in repeated.items()},
        token_coverage=coverage,
    )
    return facts, warnings


def _tokenizer(settings: Settings, rows: Dataset, columns: dict[str, str], task: Task) -> PreTrainedTokenizerBase:
    """The teacher's own tokenizer, or a WordPiece vocabulary learned from the training texts."""
    if settings.tokenizer is not None:
        tokenizer = load_tokenizer(settings.tokenizer, settings.revision)
        give_padding_token(tokenizer)
        if not tokenizer.is_fast:
            raise UserError(f"teacher.model: '{settings.tokenizer}' has no tokenizer.json; expected a fast tokenizer")
        return tokenizer
    texts = (task.data.show(row, columns) for row in each_row(rows))
    return learn_tokenizer(texts, settings.vocabulary or 2000, settings.max_length)


def _embedding_rows(model: str, revision: str, tokenizer: PreTrainedTokenizerBase, task: Task) -> int | None:
    """Rows of the teacher's embeddings.

    Raises:
        UserError: the tokenizer has more tokens, or the teacher's files are faulty.
    """
    rows = embedding_rows(task.model.auto_class(), model, revision)
    if rows is not None:
        refuse_more_tokens_than_rows(tokenizer, rows, f"teacher.model: '{model}'")
    return rows


def _teacher_order(labels: list[str], model: str, revision: str, context: Context) -> tuple[list[str], Match]:
    """The data's labels in the order of a teacher that is not fine-tuned, and how they were matched.

    Raises:
        UserError: its labels do not match the data's.
    """
    own = [str(name) for _, name in sorted(load_config(model, revision).id2label.items())]
    order, match = teacher_order(labels, own, model)
    if match == "case":
        context.progress.say(
            f"      the teacher's labels match the data's except for case: {own[0]} is {order[0]}, ..."
        )
    if match == "number":
        context.progress.say(f"      the teacher's outputs are unnamed: label 0 of the data is taken as {own[0]}, ...")
    return order, match
