"""What teacher and rounds share around training: the judge, and what is published after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .artifacts import write_json
from .clients import write_note
from .contracts.items import Items
from .contracts.metric import Metric
from .contracts.task import Task
from .inference import predict
from .models import parameter_count, save_model
from .tokenizer_files import save_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .checkpoint import EpochRecord
    from .data import PreparedData


def judge(task: Task, metric: str, items: Items) -> Callable[[PreTrainedModel], float]:
    """The metric of a model on these items."""
    references = task.data.references(items)
    return lambda model: task.judge.metrics[metric].score(predict(model, task, items), references)


def kept_metric(training: Mapping[str, object], metric: Metric) -> float:
    """The validation metric of the weights that a `training.json` tells of: the best of the last stage's epochs."""
    epochs = training["epochs"]
    assert isinstance(epochs, list)
    last = [float(each["metric"]) for each in epochs if each["stage"] == epochs[-1]["stage"]]
    return max(last) if metric.direction == "higher" else min(last)


def save_trained(model: PreTrainedModel, data: PreparedData, history: Sequence[EpochRecord], folder: Path) -> None:
    """Publish `model/`, with the tokenizer of the data that it was trained on, and `training.json`: parameters, epochs,
    seconds, samples a second."""
    from .pruned_model import as_stock

    save_model(as_stock(model), folder / "model")
    write_note(folder / "model")
    tokenizer = data.load_tokenizer()
    if tokenizer is not None:
        save_tokenizer(tokenizer, data.max_length, folder / "model")
    seconds = sum(each.seconds for each in history)
    samples = sum(each.seconds * each.samples_per_second for each in history)
    write_json(
        folder / "training.json",
        {
            "parameters": parameter_count(model),
            "train_seconds": round(seconds, 3),
            "samples_per_second": round(samples / seconds, 1) if seconds else 0.0,
            "epochs": [asdict(each) for each in history],
        },
    )
