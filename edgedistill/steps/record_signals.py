"""Records what one model says about one split, once: distributions, or the hidden states that losses ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from edgedistill.arrays import Booleans, Integers
from edgedistill.contracts import registry
from edgedistill.contracts.items import Items
from edgedistill.contracts.layer_maps import layer_pairs
from edgedistill.contracts.loss import pooled
from edgedistill.contracts.task import Task
from edgedistill.data.prepared import PreparedData
from edgedistill.models.loading import load_model
from edgedistill.signals.inference import visit_hidden
from edgedistill.signals.packed_top_k import PackedTopK
from edgedistill.signals.recorded import create, gather
from edgedistill.signals.recording import DistributionRecorder, Write, classes_of, publish, record_shards, save_head
from edgedistill.signals.sizes import distribution_size, refuse_too_large
from edgedistill.steps.kinds.record_signals import Inputs, Settings
from edgedistill.store.progress import Progress
from edgedistill.store.records.base import FileName
from edgedistill.store.records.models import FORM_OF, Signals, TopKFacts
from edgedistill.store.step import Context
from edgedistill.training.loop import make_accelerator

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Signals:
    """Publish `SIGNAL-00000.safetensors`, ...: by decision logits float32, packed top-k, or last hidden states; by item
    embedding float32; by token and layer hidden float16.

    Raises:
        UserError: it would take more than the recipe allows.
    """
    task = registry.task(settings.task)
    items = PreparedData.of(inputs.data).items(settings.split)
    model_folder = inputs.model.path(inputs.model.record.model)
    model = load_model(task.model.auto_class(), model_folder, None, head_required=True)
    model = model.to(make_accelerator(settings.compute).device)
    show = _Show(context.progress, f"{settings.signal} on {settings.split}")
    packed, counts = None, items.lengths
    write: Write
    if settings.signal == "embedding":
        write = partial(_record_embedding, model, task, show)
    elif settings.signal == "hidden":
        write = partial(_record_hidden, _layers(settings, model.config.num_hidden_layers), model, task, show)
    else:
        counts = task.data.references(items).counts(len(items))
        recorder, packed = _recorder(settings, model, task, items, show)
        write = recorder.write
    files = record_shards(items, counts, settings.signal, context.scratch / "shards", write)
    head = FileName("head.safetensors") if settings.signal == "states" else None
    if head is not None:
        save_head(model, task, folder / head)
    return Signals(signal=settings.signal, files=publish(files, folder), top_k=packed, head=head)


def _recorder(
    settings: Settings, model: PreTrainedModel, task: Task, items: Items, show: _Show
) -> tuple[DistributionRecorder, TopKFacts | None]:
    """What writes the distributions, and how they are packed.

    Raises:
        UserError: they would take more than the recipe allows.
    """
    classes, width = classes_of(model, task, items), model.config.hidden_size
    form, temperatures = FORM_OF[settings.signal], settings.temperatures
    size = distribution_size(form, classes, width, settings.k, settings.bits, len(temperatures))
    decisions = len(task.data.references(items))
    refuse_too_large(f"{form} signals on {settings.split}", size.of(decisions), size.a_decision, settings.max_gb)
    started = DistributionRecorder(model, task, show.progress, show.label)
    if form == "hidden":
        return replace(started, bits=settings.bits), None
    if form == "dense":
        return started, None
    layout = PackedTopK(classes, min(settings.k, classes), settings.bits, len(temperatures))
    facts = TopKFacts(classes=classes, k=layout.k, bits=layout.bits, temperatures=temperatures)
    return replace(started, layout=layout, temperatures=temperatures), facts


@dataclass(frozen=True)
class _Show:
    progress: Progress
    label: str


def _record_embedding(model: PreTrainedModel, task: Task, show: _Show, items: Items, file: Path, which: str) -> None:
    shape = (len(items), model.config.hidden_size)
    values = create(file, {"values": shape}, {"values": "F32"})["values"]

    def keep(chosen: Integers, real: Booleans, hidden: Sequence[torch.Tensor]) -> None:
        values[chosen] = pooled(hidden[-1].float().cpu(), torch.from_numpy(real)).numpy()

    visit_hidden(model, task, items, keep, progress=show.progress, label=show.label + which)


def _record_hidden(
    layers: Sequence[int], model: PreTrainedModel, task: Task, show: _Show, items: Items, file: Path, which: str
) -> None:
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

    visit_hidden(model, task, items, keep, progress=show.progress, label=show.label + which)


def _layers(settings: Settings, teacher_layers: int) -> list[int]:
    """The layers that any of the maps reads; all of them when the student's depth isn't known."""
    if settings.student_layers is None:
        return list(range(teacher_layers + 1))
    pairs = [layer_pairs(each, settings.student_layers, teacher_layers) for each in settings.layer_maps]
    return sorted({teacher for each in pairs for _, teacher in each})
