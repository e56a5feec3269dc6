"""Shared by all peer programs: the job description, turns, the clock, the data and the result.

This file does not import edgedistill, since each peer runs in its own interpreter.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

TURN = "waiting for my turn"
"""The line by which a program asks for its next turn."""


@dataclass(frozen=True)
class Job:
    """One student to distil. Paths are absolute."""

    train: str
    validation: str
    test: str
    teacher: str
    """A transformers folder with the tokenizer; its config names the labels."""
    student: str
    out: str
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    max_length: int = 64
    temperature: float = 2.0
    soft_weight: float = 0.9
    hard_weight: float = 0.1
    warmup: float = 0.1
    """Fraction of the steps."""
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    stages: list[dict[str, Any]] | None = None
    """edgedistill's own recipe; None: the losses above."""

    def folder(self) -> Path:
        """Output folder."""
        return Path(self.out)


def read_job() -> Job:
    """The job description named on the command line."""
    return Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))


class Turns:
    """Lets this program work only when it is its turn; all other output of the process goes to stderr."""

    def __init__(self) -> None:
        self._asking = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def wait(self) -> None:
        """Ask for a turn and wait for it."""
        self._asking.write(TURN + "\n")
        self._asking.flush()
        if not sys.stdin.readline():
            raise SystemExit("the bench that started this program has ended")


class Epochs:
    """The clock: each epoch waits for its turn; what comes between two epochs (validation, saving) is not counted."""

    def __init__(self, turns: Turns) -> None:
        self.seconds: list[float] = []
        self._turns = turns
        self._begun = 0.0

    def begin(self) -> None:
        """An epoch begins, when its turn has come."""
        self._turns.wait()
        self._begun = time.perf_counter()

    def end(self) -> None:
        """It has ended."""
        self.seconds.append(time.perf_counter() - self._begun)


class Best:
    """Keeps the weights of the best epoch on validation, the first of equals."""

    def __init__(self, items: list[dict[str, Any]], pad: Callable[..., Any]) -> None:
        self.metrics: list[float] = []
        self._items, self._pad = items, pad
        self._weights: dict[str, Any] = {}

    def see(self, model: Any) -> None:  # noqa: ANN401 - a model of any library
        """Evaluate the current model."""
        found = accuracy(predict(model, self._items, self._pad), labels_of(self._items))
        if not self.metrics or found > max(self.metrics):
            self._weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        self.metrics.append(found)

    def restore(self, model: Any) -> None:  # noqa: ANN401
        """Give the model its best weights."""
        model.load_state_dict(self._weights)


def label_ids(job: Job) -> dict[str, int]:
    """Label -> class, in the teacher's order."""
    from transformers import AutoConfig

    return {str(name): int(number) for name, number in AutoConfig.from_pretrained(job.teacher).label2id.items()}


def load_models(job: Job) -> tuple[Any, Any, Any]:
    """Teacher (in evaluation mode), student (with a fresh head drawn from the seed) and the tokenizer of both."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

    set_seed(job.seed)
    labels = label_ids(job)
    teacher = AutoModelForSequenceClassification.from_pretrained(job.teacher).eval()
    student = AutoModelForSequenceClassification.from_pretrained(
        job.student,
        num_labels=len(labels),
        label2id=labels,
        id2label={number: name for name, number in labels.items()},
    )
    return teacher, student, AutoTokenizer.from_pretrained(job.teacher)


def read_split(file: str, job: Job, tokenizer: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """The tokenised rows of one file, unpadded, with the teacher's class as `labels`."""
    labels = label_ids(job)
    rows = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines() if line]
    tokens = tokenizer([row["text"] for row in rows], truncation=True, max_length=job.max_length)
    return [
        {**{name: column[i] for name, column in tokens.items()}, "labels": labels[row["label"]]}
        for i, row in enumerate(rows)
    ]


def padding(tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:  # noqa: ANN401
    """A collator that pads each batch to its longest text and gives a plain dict of tensors."""
    from transformers import DataCollatorWithPadding

    pad = DataCollatorWithPadding(tokenizer)
    return lambda items: dict(pad(items))


def predict(model: Any, items: list[dict[str, Any]], pad: Callable[..., Any]) -> np.ndarray:  # noqa: ANN401
    """(N, C) float32 logits in the order of the file; the model is in training mode again afterwards if it was."""
    import torch

    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    parts = []
    with torch.inference_mode():
        for i in range(0, len(items), 64):
            batch = {name: tensor.to(device) for name, tensor in pad(items[i : i + 64]).items() if name != "labels"}
            parts.append(model(**batch).logits.float().cpu().numpy())
    model.train(was_training)
    return np.concatenate(parts)


def labels_of(items: list[dict[str, Any]]) -> np.ndarray:
    """(N,) classes."""
    return np.array([item["labels"] for item in items])


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of right answers."""
    return float((logits.argmax(axis=1) == labels).mean())


def parameter_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:  # noqa: ANN401
    """No decay on biases and normalisation weights, as in transformers' own examples."""
    return [
        {"params": [parameter for parameter in model.parameters() if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in model.parameters() if parameter.ndim <= 1], "weight_decay": 0.0},
    ]


@dataclass(frozen=True)
class Finished:
    """A program's result besides the logits on test."""

    parameters: int
    samples: int
    """Texts shown in training, over all epochs."""
    seconds: Sequence[float]
    """Seconds per epoch, without validation."""
    preparation_seconds: float
    """Spent before the first epoch on what the other programs do while they train: recorded signals, views."""
    validation: Sequence[float]
    """Accuracy after each epoch."""
    versions: dict[str, str]
    threads: int
    teacher: float | None = None
    """The teacher's accuracy on test, where the program found it."""


def finish(job: Job, logits: np.ndarray, labels: np.ndarray, found: Finished) -> None:
    """Write `test.npz`, then `result.json`: a job with a result is done."""
    np.savez(job.folder() / "test.npz", logits=logits.astype(np.float32), labels=labels)
    partial = job.folder() / "result.json.partial"
    partial.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
    partial.replace(job.folder() / "result.json")


def finish_peer(
    job: Job,
    package: str,
    student: Any,  # noqa: ANN401
    data: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    pad: Callable[..., Any],
    epochs: Epochs,
    validation: Sequence[float],
) -> None:
    """The end of a program with a live teacher: test the student and write; `data` is train and test."""
    import torch

    train, test = data
    shutil.rmtree(job.folder() / "checkpoints", ignore_errors=True)
    finish(
        job,
        predict(student, test, pad),
        labels_of(test),
        Finished(
            parameters=sum(parameter.numel() for parameter in student.parameters()),
            samples=len(train) * len(epochs.seconds),
            seconds=epochs.seconds,
            preparation_seconds=0.0,
            validation=validation,
            versions={name: version(name) for name in dict.fromkeys((package, "transformers", "torch"))},
            threads=torch.get_num_threads(),
        ),
    )
