"""Runs a task's model for what passes through it, or for the loss of each decision: over a vocabulary, tile by tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from edgedistill.contracts.distribution import HiddenAndHead, full

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from edgedistill.contracts.batch import Batch
    from edgedistill.contracts.task import Task

_TILE = 1 << 24
"""Logits to compute at once."""


def pass_through(task: Task, model: PreTrainedModel, batch: Batch) -> None:
    """Run a batch through the layers, each item in a row of its own, for hooks to see; without logits over a
    vocabulary."""
    if task.model.states is not None:
        task.model.states(model, batch.columns)
    else:
        task.model.forward(model, batch.inputs)


def losses_of(task: Task, model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """(R,) the loss on the labels of each decision of a task that has one, in the same pass."""
    own = task.model
    if own.states is not None and own.head is not None and own.right is not None:
        said = own.head(model).on(own.states(model, batch.columns))
        return cross_entropies(said, own.right(batch.columns), 0.0)
    assert own.loss is not None, "only a task with a loss is asked for it"
    return own.loss(own.forward(model, batch.inputs), batch.columns, 0.0)


def cross_entropies(said: HiddenAndHead, right_R: torch.Tensor, smoothing: float) -> torch.Tensor:  # noqa: N803
    """(R,) cross-entropy in nats with the right classes, tile by tile; label smoothing as in Szegedy et al. 2016,
    section 7. Gradients compute the logits again instead of keeping them (Chen et al. 2016, "Training deep nets with
    sublinear memory cost")."""

    def of(tile: slice) -> torch.Tensor:
        logits = full(said.part(tile).dense().logits_RC)
        return functional.cross_entropy(logits, right_R[tile], label_smoothing=smoothing, reduction="none")

    rows = max(1, _TILE // said.classes)
    tiles = [slice(first, first + rows) for first in range(0, max(len(said), 1), rows)]
    return torch.cat([checkpoint(of, tile, use_reentrant=False) for tile in tiles])
