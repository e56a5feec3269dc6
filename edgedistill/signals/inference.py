"""Runs a PyTorch model over items: answers, logits or hidden states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Booleans, Integers, positions
from edgedistill.contracts.answers import Answers, gathered
from edgedistill.contracts.distribution import Dense, HiddenAndHead
from edgedistill.contracts.items import Items
from edgedistill.contracts.task import Task
from edgedistill.contracts.tensors import Tensors
from edgedistill.signals.batching import length_buckets
from edgedistill.store.progress import Progress, ProgressState

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from edgedistill.arrays import Array

Distributed = Dense | HiddenAndHead
"""A model's full distribution."""
DistributionVisitor = Callable[[Integers, Distributed], None]
_STATES_BATCH = 16
"""Batch size for a task with many decisions per item."""
HiddenVisitor = Callable[[Integers, Booleans, Sequence["torch.Tensor"]], None]


@dataclass
class Shown:
    """A forward pass's additional outputs, under the names of `transformers`."""

    hidden_states: Sequence[torch.Tensor] = ()
    attentions: Sequence[torch.Tensor] = ()


@contextmanager
def shown(model: PreTrainedModel, *, hidden: bool = False, attention: bool = False) -> Iterator[Shown]:
    """Capture hidden states or attention of the last forward pass, however a task calls the model."""
    found = Shown()
    options = {"output_hidden_states": hidden, "output_attentions": attention}
    asked = {name: True for name, wanted in options.items() if wanted}

    def ask(_model: object, args: object, kwargs: dict[str, object]) -> tuple[object, dict[str, object]]:
        return args, {**kwargs, **asked}

    def keep(_model: object, _inputs: object, output: object) -> None:
        if hidden:
            found.hidden_states = getattr(output, "hidden_states", None) or ()
        if attention:
            found.attentions = getattr(output, "attentions", None) or ()

    hooks = []
    if asked:
        hooks = [model.register_forward_pre_hook(ask, with_kwargs=True), model.register_forward_hook(keep)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def autocast(device: torch.device, bf16: bool) -> AbstractContextManager[None]:
    """bf16 autocast, or the model's own precision."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def to_tensors(arrays: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    """A batch of `Items` as tensors."""
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def predict(
    model: PreTrainedModel,
    task: Task,
    items: Items,
    *,
    batch_size: int = 64,
    progress: Progress | None = None,
    label: str = "",
) -> Answers:
    """A model's answers in float32, in evaluation mode, on the model's device."""
    counts = task.data.references(items).counts(len(items))
    parts, ask = [], task.model.ask
    for chosen, batch, outputs in _passes(model, task, items, batch_size, progress, label, ask):
        found = task.model.answers(outputs, batch) if ask is None else outputs
        values = {name: value.numpy() for name, value in found.items()}
        item = np.repeat(chosen, counts[chosen])
        parts.append(Answers(values, item, items.example[item]))
    return gathered(parts)


def visit_distributions(
    model: PreTrainedModel,
    task: Task,
    items: Items,
    visit: DistributionVisitor,
    *,
    bf16: bool = False,
    progress: Progress | None = None,
    label: str = "",
) -> None:
    """Call `visit` with the decisions of each batch, indexed in the order of the task's references, and the model's
    states and head if the task has them, or logits.

    Args:
        bf16: whether states are computed with bf16 autocast.
    """
    owners, head_of = task.data.references(items).item, task.model.head
    states = task.model.packed_states or task.model.states
    if states is None or head_of is None:
        assert task.model.logits is not None, "the plan records distributions of tasks that have them"
        for chosen, batch, outputs in _passes(model, task, items, 64, progress, label):
            visit(positions(owners, chosen), Dense(task.model.logits(outputs, batch)))
        return
    head = head_of(model)
    device = next(model.parameters()).device
    for chosen in _each_batch(model, items, _STATES_BATCH, progress, label):
        batch = {name: tensor.to(device) for name, tensor in to_tensors(items.batch(chosen)).items()}
        with autocast(device, bf16):
            hidden = states(model, batch)
        visit(positions(owners, chosen), head.on(hidden.float()))


def visit_hidden(
    model: PreTrainedModel,
    task: Task,
    items: Items,
    visit: HiddenVisitor,
    *,
    progress: Progress | None = None,
    label: str = "",
) -> None:
    """Call `visit` with the items of each batch, its token mask (B, T), and its hidden states by layer."""
    with shown(model, hidden=True) as found:
        for chosen, _, _ in _passes(model, task, items, 64, progress, label):
            visit(chosen, items.real(chosen), found.hidden_states)


def _passes(
    model: PreTrainedModel,
    task: Task,
    items: Items,
    batch_size: int,
    progress: Progress | None,
    label: str,
    ask: Callable[[PreTrainedModel, Tensors], Tensors] | None = None,
) -> Iterator[tuple[Integers, dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
    """Items of each batch, the batch, and the model's outputs or answers, on the CPU in float32."""
    device = next(model.parameters()).device
    for chosen in _each_batch(model, items, batch_size, progress, label):
        batch = to_tensors(items.batch(chosen))
        given = batch if ask is not None else to_tensors(items.inputs(chosen))
        outputs = (ask or task.model.forward)(model, {name: tensor.to(device) for name, tensor in given.items()})
        yield chosen, batch, {name: _plain(output) for name, output in outputs.items()}


def _each_batch(
    model: PreTrainedModel, items: Items, batch_size: int, progress: Progress | None, label: str
) -> Iterator[Integers]:
    """Items of similar length in batches, with the model in evaluation mode and without gradients."""
    with evaluating(model, len(items), progress, label) as done:
        for chosen in length_buckets(items.lengths, batch_size):
            yield chosen
            done(len(chosen))


@contextmanager
def evaluating(
    model: PreTrainedModel, total: int, progress: Progress | None, label: str
) -> Iterator[Callable[[int], None]]:
    """A model in evaluation mode, without gradients; yields a function that advances the progress towards `total`."""
    import torch

    was_training, state = model.training, ProgressState(label, 0, total)
    model.eval()
    if progress:
        progress.start(label, total)

    def advance(count: int) -> None:
        nonlocal state
        state = replace(state, done=state.done + count)
        if progress:
            progress.advance(state)

    with torch.inference_mode():
        yield advance
    if progress:
        progress.stop()
    model.train(was_training)


def _plain(output: torch.Tensor) -> torch.Tensor:
    """On the CPU, with floating-point values in float32."""
    return (output.float() if output.is_floating_point() else output).cpu()
