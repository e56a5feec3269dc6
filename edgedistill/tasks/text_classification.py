"""Text classification: one label per text (or pair of texts)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.task import AutoClass, DataColumns, Encoder, Task, TaskData, TaskModel
from edgedistill.errors import shown
from edgedistill.tasks import _classification as classification
from edgedistill.tasks._classification_judge import JUDGE
from edgedistill.tasks._text_cut import cut, reads_word_by_word

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from edgedistill.recipe.teacher_spec import Architecture

_TOKENS, _TYPES = "input_ids", "token_type_ids"


def auto_class() -> AutoClass:
    """`AutoModelForSequenceClassification`."""
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification  # type: ignore[no-any-return,unused-ignore]


def scratch_config(
    architecture: Architecture, vocabulary: int, length: int, items: Items, entries: Mapping[str, object]
) -> PreTrainedConfig:
    """A BERT of that size; the second text of a pair has a separate token type."""
    from edgedistill.models.loading import bert_config

    config = bert_config(architecture, vocabulary, length, entries)
    if _TYPES in items.values:
        config.type_vocab_size = int(items.values[_TYPES].max(initial=0)) + 1
    return config


def problem(row: Mapping[str, object], columns: Mapping[str, str], labelled: bool) -> str | None:
    """What is wrong with a raw row, or None."""
    for key in ("text", "text_pair"):
        if key not in columns:
            continue
        value = row.get(columns[key])
        if not isinstance(value, str):
            return f"'{columns[key]}' is {shown(value)}, expected text"
        if not value.strip():
            return f"'{columns[key]}' is empty, expected text"
    if labelled:
        label = row.get(columns["label"])
        if isinstance(label, bool) or not isinstance(label, str | int) or label == "":
            return f"'{columns['label']}' is {shown(label)}, expected a label name or number"
        if str(label) == "-1":
            return f"'{columns['label']}' is -1, which means no label; expected a class, or a name in data.labels"
    return None


def encode(rows: Mapping[str, Sequence[object]], encoder: Encoder) -> Items:
    """Token ids of each text (pair) and its label id, one item per row."""
    assert encoder.tokenizer is not None, "text tasks have a tokenizer"
    texts = [list(rows[encoder.columns[key]]) for key in ("text", "text_pair") if key in encoder.columns]
    if len(texts) == 1 and reads_word_by_word(encoder.tokenizer):
        texts = [[cut(str(text), encoder.max_length) for text in texts[0]]]
    content = dict(encoder.tokenizer(*texts, truncation=True, max_length=encoder.max_length))
    pad = encoder.tokenizer.pad_token_id or 0  # without one, the attention mask hides it
    columns = {
        name: Column("input", "sequence", pad=pad, tokens=True) if name == _TOKENS else Column("input", "sequence")
        for name in content
    }
    columns[classification.LABELS] = Column("target", "scalar", pad=classification.NONE)
    given, count = rows.get(encoder.columns["label"]), len(texts[0])
    content[classification.LABELS] = classification.label_column(given, count, encoder.label_ids)
    return Items.of(columns, content, np.arange(count))


def show(row: Mapping[str, object], columns: Mapping[str, str]) -> str:
    """The text, or the two texts of a pair."""
    return " | ".join(str(row[columns[key]]) for key in ("text", "text_pair") if key in columns)


TASK = Task(
    api=1,
    name="text-classification",
    version=3,
    data=TaskData(
        columns=DataColumns(("text",), "label", optional=("text_pair",), texts=("text", "text_pair")),
        tokens=True,
        problem=problem,
        label_names=classification.label_names,
        encode=encode,
        references=classification.references,
        show=show,
    ),
    model=TaskModel(
        auto_class=auto_class,
        scratch_config=scratch_config,
        configuration=classification.configuration,
        unsuitable=classification.unsuitable,
        outputs=("logits",),
        forward=classification.forward,
        answers=classification.answers,
        loss=classification.loss,
        logits=classification.logits,
        answers_of_logits=classification.answers_of_logits,
    ),
    judge=lambda spec: JUDGE,
    device="edgedistill.tasks._classification_device",
    snippets="edgedistill.bundling",
)
