"""A second task for the tests, as a third party would plug it in: is each token longer than three letters?

Several rows an item, unlike text classification; it shows that the engine knows rows and nothing of a task.
"""

from __future__ import annotations

import numpy as np

from edgedistill.interfaces import Columns
from edgedistill.tasks.text_classification import METRICS  # noqa: F401 - accuracy over rows

VERSION = 1
COLUMNS = Columns(required=("words",), labels="long")
TEXTS = ()
TOKENS = True


def auto_class():
    from transformers import AutoModelForTokenClassification

    return AutoModelForTokenClassification


def scratch_config(architecture, vocabulary, length, labels):
    from edgedistill.models import bert_config

    return bert_config(architecture, vocabulary, length, labels)


def problem_in(row, columns, labelled):
    words = row.get(columns["words"])
    return None if isinstance(words, list) and words else f"'{columns['words']}' is not a list of words"


def label_names(rows, columns):
    return ["short", "long"]


def encode(rows, columns, tokenizer, label_ids, max_length):
    encoded = tokenizer(rows[columns["words"]], is_split_into_words=True, truncation=True, max_length=max_length)
    labels, decided = [], []
    for i, words in enumerate(rows[columns["words"]]):
        owners = encoded.word_ids(i)
        first = [owner is not None and owner != before for owner, before in zip(owners, [None, *owners], strict=False)]
        given = rows.get(columns["long"])
        decided.append([int(each) for each in first])
        labels.append([label_ids[given[i][w]] if given and use else -100 for w, use in zip(owners, first, strict=True)])
        assert len(words)
    return {**dict(encoded), "labels": labels, "decided": decided}


def rows(logits, batch):
    return logits[batch["decided"].bool()]


def references(batch):
    return batch["labels"][batch["decided"].bool()]


def row_counts(batch):
    return batch["decided"].sum(1)


def device_rows(outputs, batch):
    return np.asarray(outputs[0], dtype=np.float32)[batch["decided"].astype(bool)]


def show(row, columns):
    return " ".join(row[columns["words"]])
