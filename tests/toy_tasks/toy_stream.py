"""A third task, as a third party would plug it in: what is asked for, as far as it has been said yet?

An example's text is read in parts of a few words, each an item of its own. Of each part the model is asked three times,
when all but its last two tokens were read and after each of these, which on a device are passes of their own on the
state before. Metrics go by example: all that was said of its parts together.
"""

from __future__ import annotations

import numpy as np
from toy_stream_device import DECISIONS, LATE

from edgedistill.contracts.answers import References
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.judge import Fidelity, Judge
from edgedistill.contracts.metric import Metric
from edgedistill.contracts.task import DataColumns, Task, TaskData, TaskModel
from edgedistill.data.class_order import ordered

WORDS = 4
"""Of a part."""


def auto_class():
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification


def scratch_config(architecture, vocabulary, length, items, entries):
    from edgedistill.models.loading import bert_config

    return bert_config(architecture, vocabulary, length, entries)


def configuration(labels):
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {n: i for i, n in enumerate(labels)},
    }


def problem(row, columns, labelled):
    if not isinstance(row.get(columns["speech"]), str) or not row[columns["speech"]].strip():
        return f"'{columns['speech']}' is no text"
    return f"'{columns['intent']}' is no name" if labelled and not isinstance(row.get(columns["intent"]), str) else None


def parts_of(text):
    words = text.split()
    return [" ".join(words[start : start + WORDS]) for start in range(0, len(words), WORDS)]


def encode(rows, encoder):
    parts = [parts_of(text) for text in rows[encoder.columns["speech"]]]
    example = np.repeat(np.arange(len(parts)), [len(speech) for speech in parts])
    flat = [part for speech in parts for part in speech]
    encoded = encoder.tokenizer(flat, truncation=True, max_length=encoder.max_length)
    given = rows.get(encoder.columns["intent"]) or [None] * len(parts)
    intent = np.array([-1 if name is None else encoder.label_ids[name] for name in given])
    columns = {
        "input_ids": Column("input", "sequence", pad=encoder.tokenizer.pad_token_id, tokens=True),
        "attention_mask": Column("input", "sequence"),
        "intent": Column("target", "scalar", pad=-1),
    }
    content = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    return Items.of(columns, content | {"intent": intent[example]}, example)


def references(items):
    intent = np.repeat(items.values["intent"], DECISIONS)
    item = np.repeat(np.arange(len(items)), DECISIONS)
    return References({"intent": intent}, item, items.example[item], intent >= 0)


def forward(model, inputs):
    """The logits (B, 3, C) of what was read by then: later tokens are masked as padding is."""
    import torch

    mask = inputs["attention_mask"]
    places, lengths = torch.arange(mask.shape[1], device=mask.device)[None, :], mask.sum(1, keepdim=True)
    seen = [(places < lengths - late).to(mask.dtype) for late in range(LATE, -1, -1)]
    return {"logits": torch.stack([model(**{**inputs, "attention_mask": visible}).logits for visible in seen], dim=1)}


def logits(outputs, batch):
    return outputs["logits"].flatten(0, 1)


def loss(outputs, batch, smoothing):
    from torch.nn import functional

    labels = batch["intent"].repeat_interleave(DECISIONS)
    return functional.cross_entropy(
        logits(outputs, batch), labels, ignore_index=-1, label_smoothing=smoothing, reduction="none"
    )


def log_probabilities(values):
    shifted = np.asarray(values, np.float64) - np.max(values, axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def by_example(answers, references):
    """(E, C) mean log-probabilities of all that was said of an example, and (E,) what was asked for."""
    known = references.known
    of = np.searchsorted(references.examples, references.example[known])
    said = log_probabilities(answers.values["logits"][known])
    sums = np.zeros((len(references.examples), said.shape[1]))
    np.add.at(sums, of, said)
    intent = np.zeros(len(sums), np.int64)
    intent[of] = references.values["intent"][known]
    return sums / np.bincount(of)[:, None], intent


def surprises(answers, references):
    said, intent = by_example(answers, references)
    return np.stack([-said[np.arange(len(said)), intent], np.ones(len(said))], axis=1)


def understood(answers, references):
    said, intent = by_example(answers, references)
    return np.stack([said.argmax(axis=1) == intent, np.ones(len(said))], axis=1).astype(np.float64)


def fidelity(reference, device):
    a, b = (np.asarray(side.values["logits"], np.float64) for side in (reference, device))
    p, q = log_probabilities(a), log_probabilities(b)
    divergence = np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0)
    return Fidelity(a.argmax(axis=1) == b.argmax(axis=1), divergence, np.abs(a - b).max(axis=1))


def texts(answers, names):
    said = answers.values["intent"] if "intent" in answers.values else answers.values["logits"].argmax(axis=1)
    return [names[number] if number >= 0 else "" for number in said]


def share(rows):
    return float(rows[:, 0].sum() / rows[:, 1].sum())


TASK = Task(
    api=1,
    name="streamed-intent",
    version=1,
    data=TaskData(
        columns=DataColumns(("speech",), "intent", texts=("speech",)),
        tokens=True,
        problem=problem,
        label_names=lambda rows, columns: ordered(rows[columns["intent"]]),
        encode=encode,
        references=references,
        show=lambda row, columns: row[columns["speech"]],
    ),
    model=TaskModel(
        auto_class=auto_class,
        scratch_config=scratch_config,
        configuration=configuration,
        outputs=("logits",),
        forward=forward,
        answers=lambda outputs, batch: {"logits": logits(outputs, batch)},
        loss=loss,
        logits=logits,
        answers_of_logits=lambda values: {"logits": values},
    ),
    judge=lambda spec: Judge(
        metrics={
            "understood": Metric("understood", "higher", understood, share, shares=True),
            "surprise": Metric("surprise", "lower", surprises, share),
        },
        fidelity=fidelity,
        texts=texts,
    ),
    device="toy_stream_device",
)
