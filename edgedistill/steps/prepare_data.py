"""Reads and checks every split, decides the labels, and tokenises once to Arrow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.errors import UserError
from edgedistill.recipe import DataSpec, SplitName
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from edgedistill.interfaces import Task

VERSION = 2


class Settings(Spec):
    """What to read and with which tokenizer."""

    task: str
    data: DataSpec
    tokenizer: str | None
    revision: str
    vocabulary: int | None
    teacher_labels: bool
    """Take the label order of a teacher that is used as it is."""


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `SPLIT/rows` and `SPLIT/tokens` (Arrow), `tokenizer/`, `data.json` (labels, counts, duplicates).

    With an input `tokens`, another data step, its tokenizer is taken: a body that goes on reads the same tokens.
    """
    from edgedistill import data as reading

    task: Task = plugins.find("tasks", settings.task)
    sources = settings.data.splits()
    raw = {
        name: reading.read_rows(source, f"data.{name}", context.scratch / "cache") for name, source in sources.items()
    }
    columns = {key: settings.data.columns.get(key, key) for key in (*task.COLUMNS.required, task.COLUMNS.labels)}
    columns |= {key: settings.data.columns[key] for key in task.COLUMNS.optional if key in settings.data.columns}
    label_column = columns[task.COLUMNS.labels]
    files = {name: source.path or f"{source.hub}" for name, source in sources.items()}
    named = {name: reading.with_label_names(rows, label_column) for name, rows in raw.items()}
    reading.check_rows(named["train"], task, columns, files["train"], labelled=True)
    labels = task.label_names(raw["train"], columns)
    if settings.teacher_labels and settings.tokenizer is not None:
        labels = _teacher_order(labels, settings.tokenizer, settings.revision)
    if len(labels) < 2:
        raise UserError(f"{files['train']}: column '{label_column}' holds {len(labels)} label, expected at least 2")
    for name, rows in named.items():
        if name != "train":
            reading.check_rows(rows, task, columns, files[name], labelled=name != "unlabeled", known=labels)
    if "unlabeled" in named and label_column in named["unlabeled"].column_names:
        named["unlabeled"] = named["unlabeled"].remove_columns(label_column)
    tokenizer = None
    if "tokens" in inputs:
        tokenizer = reading.PreparedData(inputs["tokens"].folder).load_tokenizer()
    elif task.TOKENS:
        tokenizer = _tokenizer(settings, named["train"], columns, task)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder / "tokenizer")
    pairs: list[tuple[SplitName, SplitName]] = [
        ("train", "test"),
        ("train", "validation"),
        ("validation", "test"),
    ]
    repeated = {f"{a}/{b}": reading.duplicates(named[a], named[b], task, columns) for a, b in pairs}
    for pair, found in repeated.items():
        if found:
            first = found[0]
            context.progress.say(
                f"      warning: {len(found)} texts of {pair.split('/')[1]} are in {pair.split('/')[0]} too, "
                f"for example rows {first[1]} and {first[0]}: {first[2][:60]!r}"
            )
    label_ids = {label: i for i, label in enumerate(labels)}
    counts: dict[str, int] = {}
    for split, rows in named.items():
        tokens = reading.tokenise(rows, task, columns, tokenizer, label_ids, settings.data.max_length)
        rows.save_to_disk(str(folder / split / "rows"))
        tokens.save_to_disk(str(folder / split / "tokens"))
        counts[split] = len(rows)
    write_json(
        folder / "data.json",
        {
            "labels": labels,
            "columns": columns,
            "max_length": settings.data.max_length,
            "pad_token": reading.pad_token(tokenizer),
            "rows": counts,
            "test_sha256": reading.content_hash(named["test"], task, columns),
            "duplicates": {pair: [list(each) for each in found[:50]] for pair, found in repeated.items()},
            "duplicate_counts": {pair: len(found) for pair, found in repeated.items()},
        },
    )


def _tokenizer(settings: Settings, rows: Dataset, columns: dict[str, str], task: Task) -> PreTrainedTokenizerBase:
    """The teacher's own tokenizer, or a WordPiece vocabulary learned from the training texts."""
    from edgedistill.models import give_padding_token, load_tokenizer

    if settings.tokenizer is not None:
        tokenizer = load_tokenizer(settings.tokenizer, settings.revision)
        give_padding_token(tokenizer)
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
