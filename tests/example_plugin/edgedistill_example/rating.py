"""A task: rate a text on a scale from 0, scored by the error of the rating. It has one option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from edgedistill.arrays import Floats
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.judge import Fidelity, Judge
from edgedistill.contracts.metric import Metric
from edgedistill.contracts.task import AutoClass, DataColumns, Encoder, Task, TaskData, TaskModel
from edgedistill.contracts.task_spec import TaskSpec
from edgedistill.contracts.tensors import Tensors
from edgedistill_example.rating_device import expected

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedConfig, PreTrainedModel

    from edgedistill.recipe.teacher_spec import Architecture


class RatingSpec(TaskSpec):
    """Its keys in a recipe: `task: {type: text-rating, metric: mean_error, step: 2}`."""

    type: Literal["text-rating"]
    step: int = Field(default=1, ge=1)
    """Step size of the learned ratings: with 2, the ratings 0 and 1 are merged, as are 2 and 3."""


def step_of(spec: TaskSpec) -> int:
    """The task's option in the recipe."""
    assert isinstance(spec, RatingSpec)
    return spec.step


def problem(row: Mapping[str, object], columns: Mapping[str, str], labelled: bool) -> str | None:
    """What is wrong with a row of the data."""
    if not isinstance(row.get(columns["text"]), str):
        return f"'{columns['text']}' is not text"
    rating = str(row.get(columns["rating"]))
    if labelled and not rating.isdecimal():
        return f"'{columns['rating']}' is {rating:.40}, expected a whole number from 0"
    return None


def label_names(rows: Dataset, columns: Mapping[str, str]) -> list[str]:
    """All ratings up to the highest."""
    return [str(rating) for rating in range(max(map(int, rows[columns["rating"]])) + 1)]


def encode(rows: Mapping[str, Sequence[object]], encoder: Encoder) -> Items:
    """One item per row: the tokens of the text, and the rating as a target."""
    assert encoder.tokenizer is not None
    texts = rows[encoder.columns["text"]]
    content = dict(encoder.tokenizer(texts, truncation=True, max_length=encoder.max_length))
    pad = encoder.tokenizer.pad_token_id
    columns = {
        name: Column("input", "sequence", pad=pad, tokens=True) if name == "input_ids" else Column("input", "sequence")
        for name in content
    }
    columns["rating"] = Column("target", "scalar", pad=-1)
    ratings, step = rows.get(encoder.columns["rating"]) or [None] * len(texts), step_of(encoder.spec)
    content["rating"] = [-1 if rating is None else encoder.label_ids[str(rating)] // step for rating in ratings]
    return Items.of(columns, content, range(len(texts)))


def references(items: Items) -> References:
    """One decision per item: its rating."""
    rating = items.values["rating"].astype(np.int64)
    return References({"rating": rating}, np.arange(len(items)), items.example, rating >= 0)


def auto_class() -> AutoClass:
    """The class that loads the models."""
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification


def scratch_config(
    architecture: Architecture, vocabulary: int, length: int, items: Items, entries: Mapping[str, object]
) -> PreTrainedConfig:
    """A BERT, for a teacher trained from scratch."""
    from edgedistill.models.loading import bert_config

    return bert_config(architecture, vocabulary, length, entries)


def configuration(labels: Sequence[str]) -> dict[str, object]:
    """Entries of `config.json` about the head."""
    return {"num_labels": len(labels), "id2label": dict(enumerate(labels))}


def forward(model: PreTrainedModel, inputs: Tensors) -> Tensors:
    """The outputs, in PyTorch and in the exported graph."""
    return {"logits": model(**inputs).logits}


def answers(outputs: Tensors, batch: Tensors) -> Tensors:
    """The same in PyTorch as `rating_device.answer` in numpy."""
    import torch

    logits = outputs["logits"]
    return {"rating": logits.softmax(1) @ torch.arange(logits.shape[1], dtype=logits.dtype, device=logits.device)}


def loss(outputs: Tensors, batch: Tensors, smoothing: float) -> torch.Tensor:
    """(D,) cross-entropy, for losses on labels."""
    from torch.nn import functional

    return functional.cross_entropy(
        outputs["logits"], batch["rating"], ignore_index=-1, label_smoothing=smoothing, reduction="none"
    )


def errors(step: int, answers: Answers, references: References) -> Floats:
    """(E, 2) the error of each known rating, and 1: the rows for resampling and pairing."""
    known = references.known
    said, right = (found.values["rating"][known].astype(np.float64) for found in (answers, references))
    off = np.abs(said - right)
    return np.stack([step * off, np.ones(len(off))], axis=1).astype(np.float64)


def hits(answers: Answers, references: References) -> Floats:
    """(E, 2) whether the rounded rating is right, and 1."""
    off, asked = errors(1, answers, references).T
    return np.stack([off < 0.5, asked], axis=1).astype(np.float64)


def share(rows: Floats) -> float:
    """The ratio of the sums, for any rows or their sum."""
    total, asked = rows.sum(axis=0)
    return float(total / asked)


def fidelity(reference: Answers, device: Answers) -> Fidelity:
    """How closely a file's ratings match those of its PyTorch model."""
    first, second = (side.values["rating"].astype(np.float64) for side in (reference, device))
    difference = np.abs(first - second)
    return Fidelity(agree=first.round() == second.round(), divergence=difference, difference=difference)


def texts(answers: Answers, names: Sequence[str]) -> list[str]:
    """Each decision as readable text."""
    return ["" if rating < 0 else f"{rating:.1f}" for rating in answers.values["rating"].tolist()]


def judge(spec: TaskSpec) -> Judge:
    """The metrics and fidelity; errors are in ratings, whatever the step."""
    return Judge(
        metrics={
            "mean_error": Metric("mean_error", "lower", partial(errors, step_of(spec)), share),
            "hits": Metric("hits", "higher", hits, share, shares=True),
        },
        fidelity=fidelity,
        texts=texts,
    )


TASK = Task(
    api=1,
    name="text-rating",
    version=1,
    data=TaskData(
        columns=DataColumns(("text",), "rating", texts=("text",)),
        tokens=True,
        problem=problem,
        label_names=label_names,
        encode=encode,
        references=references,
        show=lambda row, columns: str(row[columns["text"]]),
    ),
    model=TaskModel(
        auto_class=auto_class,
        scratch_config=scratch_config,
        configuration=configuration,
        outputs=("logits",),
        forward=forward,
        answers=answers,
        loss=loss,
        logits=lambda outputs, batch: outputs["logits"],
        answers_of_logits=lambda logits: {"rating": expected(logits)},
    ),
    judge=judge,
    device="edgedistill_example.rating_device",
    spec=RatingSpec,
)
