"""Shared by teacher and rounds: the validation metric, and the published artifact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts.items import Items
from edgedistill.contracts.metric import Metric
from edgedistill.contracts.task import Task
from edgedistill.models.clients import write_note
from edgedistill.models.loading import parameter_count, save_model
from edgedistill.models.pruned_model import as_stock
from edgedistill.models.tokenizer_files import save_tokenizer
from edgedistill.signals.inference import predict
from edgedistill.store.records.models import EpochRecord, TrainedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from edgedistill.data.prepared import PreparedData


def judge(task: Task, metric: Metric, items: Items) -> Callable[[PreTrainedModel], float]:
    """The metric of a model on these items."""
    references = task.data.references(items)
    return lambda model: metric.score(predict(model, task, items), references)


def save_trained(
    model: PreTrainedModel, data: PreparedData, history: Sequence[EpochRecord], folder: Path
) -> TrainedModel:
    """Publish `model/`, with the tokenizer of its training data."""
    made = TrainedModel(
        parameters=parameter_count(model),
        train_seconds=round(sum(epoch.seconds for epoch in history), 3),
        samples_per_second=_speed(history),
        epochs=tuple(history),
    )
    save_model(as_stock(model), folder / made.model)
    write_note(folder / made.model)
    tokenizer = data.load_tokenizer()
    if tokenizer is not None:
        save_tokenizer(tokenizer, data.max_length, folder / made.model)
    return made


def _speed(history: Sequence[EpochRecord]) -> float:
    """Samples per second, over all epochs."""
    seconds = sum(epoch.seconds for epoch in history)
    return round(sum(epoch.seconds * epoch.samples_per_second for epoch in history) / seconds, 1) if seconds else 0.0
