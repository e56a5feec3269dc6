"""Records what one model says about one split, once: logits, or the hidden states that losses ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import plugins
from edgedistill.contracts.layer_maps import layer_pairs
from edgedistill.contracts.loss import pooled
from edgedistill.step import Context
from edgedistill.store.records.base import FileName
from edgedistill.store.records.models import Signals

from .kinds.record_signals import Inputs, Settings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from edgedistill.arrays import Booleans, Integers
    from edgedistill.contracts.items import Items
    from edgedistill.contracts.task import Task
    from edgedistill.progress import Progress


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Signals:
    """Publish `SIGNAL.safetensors`: logits (decisions), embedding (items) float32, hidden (tokens by layer) float16."""
    from edgedistill.data import PreparedData
    from edgedistill.inference import predict_logits
    from edgedistill.models import load_model
    from edgedistill.signals import save_logits
    from edgedistill.training import make_accelerator

    task = plugins.task(settings.task)
    items = PreparedData.of(inputs.data).items(settings.split)
    model_folder = inputs.model.path(inputs.model.record.model)
    model = load_model(task.model.auto_class(), model_folder, None, head_required=True)
    model = model.to(make_accelerator(settings.compute).device)
    show = _Show(context.progress, f"{settings.signal} on {settings.split}")
    made = Signals(signal=settings.signal, file=FileName(f"{settings.signal}.safetensors"))
    if settings.signal == "logits":
        logits = predict_logits(model, task, items, progress=show.progress, label=show.label)
        save_logits(logits, folder / made.file)
    elif settings.signal == "embedding":
        _record_embedding(model, task, items, folder / made.file, show)
    else:
        layers = _layers(settings, model.config.num_hidden_layers)
        _record_hidden(layers, model, task, items, folder / made.file, show)
    return made


@dataclass(frozen=True)
class _Show:
    progress: Progress
    label: str


def _record_embedding(model: PreTrainedModel, task: Task, items: Items, file: Path, show: _Show) -> None:
    import torch

    from edgedistill.inference import visit_hidden
    from edgedistill.signals import create

    shape = (len(items), model.config.hidden_size)
    values = create(file, {"values": shape}, {"values": "F32"})["values"]

    def keep(chosen: Integers, real: Booleans, hidden: Sequence[torch.Tensor]) -> None:
        values[chosen] = pooled(hidden[-1].float().cpu(), torch.from_numpy(real)).numpy()

    visit_hidden(model, task, items, keep, progress=show.progress, label=show.label)


def _record_hidden(
    layers: Sequence[int], model: PreTrainedModel, task: Task, items: Items, file: Path, show: _Show
) -> None:
    from edgedistill.inference import visit_hidden
    from edgedistill.signals import create, gather

    width = model.config.hidden_size
    offsets = np.concatenate([[0], np.cumsum(items.lengths)]).astype(np.int64)
    shapes = {**{str(layer): (int(offsets[-1]), width) for layer in layers}, "offsets": offsets.shape}
    dtypes = {**{str(layer): "F16" for layer in layers}, "offsets": "I64"}
    tensors = create(file, shapes, dtypes)
    tensors["offsets"][...] = offsets

    def keep(chosen: Integers, real: Booleans, hidden: Sequence[torch.Tensor]) -> None:
        where = gather(offsets, chosen)
        for layer in layers:
            tensors[str(layer)][where] = hidden[layer].float().cpu().numpy()[real].astype(np.float16)

    visit_hidden(model, task, items, keep, progress=show.progress, label=show.label)


def _layers(settings: Settings, teacher_layers: int) -> list[int]:
    """The layers that any of the maps reads; all of them when the student's depth isn't known."""
    if settings.student_layers is None:
        return list(range(teacher_layers + 1))
    pairs = [layer_pairs(each, settings.student_layers, teacher_layers) for each in settings.layer_maps]
    return sorted({teacher for each in pairs for _, teacher in each})
