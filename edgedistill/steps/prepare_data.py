"""Reads and checks the training data, decides the labels and the tokenizer, and tokenises once to Arrow."""

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

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from edgedistill.data import PreparedData
    from edgedistill.interfaces import Task

VERSION = 3


class Settings(Spec):
    """What to read, of which only `train` here, and with which tokenizer."""

    task: str
    data: DataSpec
    tokenizer: str | None
    revision: str
    vocabulary: int | None
    teacher_labels: bool
    """Take the label order of a teacher that is used as it is."""


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `train/` (rows and tokens), `tokenizer/` and `data.json` (labels, columns).

    With an input `tokens`, another data step, its tokenizer is taken: a body that goes on reads the same tokens.
    """
    from edgedistill import data as reading
    from edgedistill.tokenizer_files import save_tokenizer

    task: Task = plugins.find("tasks", settings.task)
    source = settings.data.train
    name = source.path or f"{source.hub}"
    raw = reading.read_rows(source, "data.train", context.scratch / "cache")
    columns = {key: settings.data.columns.get(key, key) for key in (*task.COLUMNS.required, task.COLUMNS.labels)}
    columns |= {key: settings.data.columns[key] for key in task.COLUMNS.optional if key in settings.data.columns}
    label_column = columns[task.COLUMNS.labels]
    rows = reading.with_label_names(raw, label_column)
    reading.check_rows(rows, task, columns, name, labelled=True)
    labels = task.label_names(raw, columns)
    if settings.teacher_labels and settings.tokenizer is not None:
        labels = _teacher_order(labels, settings.tokenizer, settings.revision)
    if len(labels) < 2:
        raise UserError(f"{name}: column '{label_column}' holds {len(labels)} label, expected at least 2")
    tokenizer = None
    if "tokens" in inputs:
        tokenizer = reading.PreparedData.of(inputs, "tokens").load_tokenizer()
    elif task.TOKENS:
        tokenizer = _tokenizer(settings, rows, columns, task)
    if tokenizer is not None:
        save_tokenizer(tokenizer, settings.data.max_length, folder / "tokenizer")
    write_json(
        folder / "data.json",
        {
            "labels": labels,
            "columns": columns,
            "max_length": settings.data.max_length,
            "pad_token": reading.pad_token(tokenizer),
        },
    )
    publish_split(folder, "train", rows, task, reading.PreparedData(folder), {})


def publish_split(
    folder: Path,
    split: str,
    rows: Dataset,
    task: Task,
    data: PreparedData,
    repeated: Mapping[str, Sequence[tuple[int, int, str]]],
) -> None:
    """Write `SPLIT/rows` and `SPLIT/tokens` (Arrow), and `SPLIT/split.json`.

    Args:
        data: whose tokenizer and labels are taken.
        repeated: by earlier split, the rows that stand there too: (row there, row here, text).
    """
    from edgedistill import data as reading

    label_ids = {label: i for i, label in enumerate(data.labels)}
    tokens = reading.tokenise(rows, task, data.columns, data.load_tokenizer(), label_ids, data.max_length)
    rows.save_to_disk(str(folder / split / "rows"))
    tokens.save_to_disk(str(folder / split / "tokens"))
    facts = {
        "rows": len(rows),
        "sha256": reading.content_hash(rows, task, data.columns),
        "duplicates": {earlier: [list(each) for each in found[:50]] for earlier, found in repeated.items()},
        "duplicate_counts": {earlier: len(found) for earlier, found in repeated.items()},
    }
    write_json(folder / split / reading.SPLIT_FACTS, facts)


def _tokenizer(settings: Settings, rows: Dataset, columns: dict[str, str], task: Task) -> PreTrainedTokenizerBase:
    """The teacher's own tokenizer, or a WordPiece vocabulary learned from the training texts."""
    from edgedistill.models import load_tokenizer

    if settings.tokenizer is not None:
        tokenizer = load_tokenizer(settings.tokenizer, settings.revision)
        if not tokenizer.is_fast:
            raise UserError(f"teacher.model: '{settings.tokenizer}' has no tokenizer.json; expected a fast tokenizer")
        return tokenizer
    from tokenizers.implementations import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    learned = BertWordPieceTokenizer(lowercase=True)
    texts = (task.show(row, columns) for row in rows)
    learned.train_from_iterator(texts, vocab_size=settings.vocabulary or 2000, min_frequency=2, show_progress=False)
    return BertTokenizerFast(
        tokenizer_object=learned._tokenizer,
        do_lower_case=True,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
        model_max_length=settings.data.max_length,
    )


def _teacher_order(labels: list[str], model: str, revision: str) -> list[str]:
    """The label order of a teacher that is used as it is.

    Raises:
        UserError: its labels are not the data's.
    """
    from edgedistill.models import load_config

    own = [str(name) for _, name in sorted(load_config(model, revision).id2label.items())]
    if sorted(own) == sorted(labels):
        return own
    if len(own) == len(labels) and all(name.startswith("LABEL_") for name in own):
        return labels
    raise UserError(
        f"teacher.model: '{model}' has the labels {', '.join(own[:5])}{', ...' if len(own) > 5 else ''}, the data "
        f"{', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''}; give teacher.fine_tune to train a new head"
    )
