"""A task of vectors, as a third party would plug it in: how far apart are the two texts of a pair?

An example has two items, one for each text; there are no classes, training has no labels, the metric is better when
lower, and batches are padded on the left, so that the last state is always the last token's.
"""

from __future__ import annotations

import numpy as np
from toy_pairs_device import VECTOR

from edgedistill.contracts.answers import References
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.judge import Fidelity, Judge
from edgedistill.contracts.metric import Metric
from edgedistill.contracts.task import DataColumns, Task, TaskData, TaskModel

_FURTHEST = 4
"""Labels go from 0, the same, to this."""


def auto_class():
    from transformers import AutoModel

    return AutoModel


def scratch_config(architecture, vocabulary, length, items, entries):
    from edgedistill.models.loading import bert_config

    return bert_config(architecture, vocabulary, length, entries)


def problem(row, columns, labelled):
    for key in ("first", "second"):
        if not isinstance(row.get(columns[key]), str):
            return f"'{columns[key]}' is no text"
    if labelled and str(row.get(columns["gap"])) not in map(str, range(_FURTHEST + 1)):
        return f"'{columns['gap']}' is {row.get(columns['gap'])!r}, expected a whole number from 0 to {_FURTHEST}"
    return None


def encode(rows, encoder):
    pairs = zip(rows[encoder.columns["first"]], rows[encoder.columns["second"]], strict=True)
    texts = [text for pair in pairs for text in pair]
    encoded = encoder.tokenizer(texts, truncation=True, max_length=encoder.max_length)
    gaps = rows.get(encoder.columns["gap"]) or [None] * (len(texts) // 2)
    columns = {
        "input_ids": Column("input", "sequence", pad=encoder.tokenizer.pad_token_id, side="left", tokens=True),
        "attention_mask": Column("input", "sequence", side="left"),
        "position_ids": Column("input", "sequence", side="left"),
        "gap": Column("target", "scalar", pad=-1),
    }
    content = {
        "input_ids": encoded["input_ids"],
        "attention_mask": encoded["attention_mask"],
        "position_ids": [list(range(len(ids))) for ids in encoded["input_ids"]],
        "gap": np.repeat([-1 if gap is None else int(gap) for gap in gaps], 2),
    }
    return Items.of(columns, content, np.repeat(np.arange(len(gaps)), 2))


def references(items):
    gap = items.values["gap"]
    return References({"gap": gap / _FURTHEST}, np.arange(len(items)), items.example, gap >= 0)


def forward(model, inputs):
    return {VECTOR: model(**inputs).last_hidden_state[:, -1]}


def gap_errors(answers, references):
    """(E, 2) how far each pair's distance is from its label, and 1."""
    first, second = (
        np.asarray(answers.values[VECTOR], np.float64)
        .reshape(-1, 2, answers.values[VECTOR].shape[1])[references.known[::2]]
        .transpose(1, 0, 2)
    )
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    distance = (1 - (first * second).sum(axis=1) / lengths) / 2
    errors = np.abs(distance - references.values["gap"][references.known][::2])
    return np.stack([errors, np.ones(len(errors))], axis=1)


def fidelity(reference, device):
    a, b = (np.asarray(side.values[VECTOR], np.float64) for side in (reference, device))
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return Fidelity(cosine > 0.99, np.maximum(1 - cosine, 0), np.abs(a - b).max(axis=1))


def texts(answers, names):
    values = answers.values.get(VECTOR, answers.values.get("gap"))
    return [np.array2string(np.asarray(value), precision=2, threshold=3) for value in values]


TASK = Task(
    api=1,
    name="text-pairs",
    version=1,
    data=TaskData(
        columns=DataColumns(("first", "second"), "gap", texts=("first", "second"), in_training=False),
        tokens=True,
        problem=problem,
        label_names=lambda rows, columns: [],
        encode=encode,
        references=references,
        show=lambda row, columns: f"{row[columns['first']]} | {row[columns['second']]}",
    ),
    model=TaskModel(
        auto_class=auto_class,
        scratch_config=scratch_config,
        configuration=lambda labels: {},
        outputs=(VECTOR,),
        forward=forward,
        answers=lambda outputs, batch: {VECTOR: outputs[VECTOR]},
    ),
    judge=lambda spec: Judge(
        metrics={
            "gap_error": Metric(
                "gap_error", "lower", gap_errors, lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum())
            )
        },
        fidelity=fidelity,
        texts=texts,
    ),
    device="toy_pairs_device",
)
