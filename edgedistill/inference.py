"""Running a torch model over a split: logits as rows, hidden states on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .contracts.task import Task
from .interfaces import MODEL_INPUTS, Batch, Rows
from .progress import Progress, ProgressState
from .ragged import Ragged, length_buckets

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

HiddenVisitor = Callable[[np.ndarray, Sequence["torch.Tensor"]], None]


def to_batch(tokens: Ragged, items: Sequence[int] | np.ndarray, length: int | None = None) -> Batch:
    """A padded batch as tensors."""
    import torch

    return {name: torch.from_numpy(column) for name, column in tokens.batch(items, length).items()}


def model_inputs(batch: Batch) -> Batch:
    """The part of a batch that the model itself takes."""
    return {name: batch[name] for name in MODEL_INPUTS if name in batch}


def predict(
    model: PreTrainedModel,
    task: Task,
    tokens: Ragged,
    *,
    batch_size: int = 64,
    progress: Progress | None = None,
    label: str = "",
    visit_hidden: HiddenVisitor | None = None,
) -> Rows:
    """Logits of every item in float32, in evaluation mode, on the device where the model is.

    Args:
        visit_hidden: called with the items of each batch and its hidden states.
    """
    import torch

    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    parts: dict[int, np.ndarray] = {}
    batches = length_buckets(tokens.lengths, batch_size)
    done = 0
    if progress:
        progress.start(label, len(tokens))
    with torch.inference_mode():
        for items in batches:
            batch = to_batch(tokens, items)
            outputs = model(
                **{name: tensor.to(device) for name, tensor in model_inputs(batch).items()},
                output_hidden_states=visit_hidden is not None,
            )
            rows = task.rows(outputs.logits.float().cpu(), batch)
            counts = task.row_counts(batch)
            for item, part in zip(items, torch.split(rows, counts.tolist()), strict=True):
                parts[int(item)] = part.numpy()
            if visit_hidden is not None:
                visit_hidden(items, outputs.hidden_states)
            done += len(items)
            if progress:
                progress.advance(ProgressState(label, done, len(tokens)))
    if progress:
        progress.stop()
    model.train(was_training)
    ordered = [parts[i] for i in range(len(tokens))]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in ordered])]).astype(np.int64)
    return Rows(np.concatenate(ordered).astype(np.float32), offsets)


def references(task: Task, tokens: Ragged) -> np.ndarray:
    """(R,) label ids of a split's rows, -100 where there is none."""
    parts = [task.references(to_batch(tokens, [i])).numpy() for i in range(len(tokens))]
    return np.concatenate(parts)


def score(task: Task, metric: str, rows: Rows, labels: np.ndarray) -> float:
    """The task's metric over the labelled rows."""
    labelled = labels != -100
    return METRICS[metric].score(np.asarray(rows.values).argmax(axis=1)[labelled], labels[labelled])
