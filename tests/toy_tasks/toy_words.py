"""A second task for the tests, as a third party would plug it in: is each word longer than three letters?

Several decisions per item, and beside accuracy a metric that is no mean.
"""

from __future__ import annotations

import numpy as np

from edgedistill.contracts.answers import References
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.task import DataColumns, Task, TaskData, TaskModel
from edgedistill.tasks import _classification as classification
from edgedistill.tasks._classification_judge import JUDGE


def auto_class():
    from transformers import AutoModelForTokenClassification

    return AutoModelForTokenClassification


def scratch_config(architecture, vocabulary, length, items, entries):
    from edgedistill.models.loading import bert_config

    return bert_config(architecture, vocabulary, length, entries)


def problem(row, columns, labelled):
    words = row.get(columns["words"])
    return None if isinstance(words, list) and words else f"'{columns['words']}' is not a list of words"


def encode(rows, encoder):
    texts = rows[encoder.columns["words"]]
    encoded = encoder.tokenizer(texts, is_split_into_words=True, truncation=True, max_length=encoder.max_length)
    given, labels, decided = rows.get(encoder.columns["long"]), [], []
    for number in range(len(texts)):
        owners = encoded.word_ids(number)
        first = [owner is not None and owner != before for owner, before in zip(owners, [None, *owners], strict=False)]
        decided.append([int(is_first) for is_first in first])
        labels.append(
            [
                encoder.label_ids[given[number][word]] if given and given[number] and use else -100
                for word, use in zip(owners, first, strict=True)
            ]
        )
    columns = {name: Column("input", "sequence", tokens=name == "input_ids") for name in encoded}
    columns |= {"labels": Column("target", "sequence", pad=-100), "decided": Column("target", "sequence")}
    return Items.of(columns, {**encoded, "labels": labels, "decided": decided}, range(len(texts)))


def references(items):
    decided = items.values["decided"].astype(bool)
    item = np.repeat(np.arange(len(items)), items.lengths)[decided]
    labels = items.values["labels"][decided]
    return References({"class": np.where(labels == -100, -1, labels)}, item, items.example[item], labels != -100)


def logits(outputs, batch):
    return outputs["logits"][batch["decided"].bool()]


def loss(outputs, batch, smoothing):
    from torch.nn import functional

    labels = batch["labels"][batch["decided"].bool()]
    rows = logits(outputs, batch)
    return functional.cross_entropy(rows, labels, ignore_index=-100, label_smoothing=smoothing, reduction="none")


TASK = Task(
    api=1,
    name="long-words",
    version=1,
    data=TaskData(
        columns=DataColumns(("words",), "long"),
        tokens=True,
        problem=problem,
        label_names=lambda rows, columns: ["short", "long"],
        encode=encode,
        references=references,
        show=lambda row, columns: " ".join(row[columns["words"]]),
    ),
    model=TaskModel(
        auto_class=auto_class,
        scratch_config=scratch_config,
        configuration=classification.configuration,
        outputs=("logits",),
        forward=classification.forward,
        answers=lambda outputs, batch: {"logits": logits(outputs, batch)},
        loss=loss,
        logits=logits,
        answers_of_logits=classification.answers_of_logits,
    ),
    judge=lambda spec: JUDGE,
    device="toy_words_device",
)
