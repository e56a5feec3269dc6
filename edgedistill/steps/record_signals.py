"""Records one model's outputs on one split, once: distributions, or the hidden states that losses need."""

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
from edgedistill.signals.projected import Projector, counted, re_encoding_of
from edgedistill.signals.recorded import create, gather
from edgedistill.signals.recording import (
    DistributionRecorder,
    Write,
    classes_of,
    publish,
    record_ranges,
    record_shards,
    save_head,
)
from edgedistill.signals.sizes import distribution_size, refuse_too_large
from edgedistill.steps.kinds.record_signals import Inputs, Settings
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.progress import Progress
from edgedistill.store.records.base import FileName
from edgedistill.store.records.models import FORM_OF, ProjectionFacts, Signals, TopKFacts
from edgedistill.store.step import Context
from edgedistill.training.loop import make_accelerator
from edgedistill.training.precision import wants_bf16
from edgedistill.vocabulary.agreement import Reader, shared_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Signals:
    """Publish `SIGNAL-00000.safetensors`, ...: per decision float32 logits, packed top-k or last hidden states; per
    item float32 embeddings; per token and layer float16 hidden states.

    Raises:
        UserError: it would exceed the recipe's limit.
    """
    task = registry.task(settings.task.type)
    items = PreparedData.of(inputs.data).items(settings.split)
    model_folder = inputs.model.path(inputs.model.record.model)
    model = load_model(task.model.auto_class(), model_folder, None, head_required=True)
    model = model.to(make_accelerator(settings.compute).device)
    show = _Show(context.progress, f"{settings.signal} on {settings.split}")
    if inputs.tokens is not None:
        return _projected(settings, inputs, model, folder, context, show)
    packed, counts, tokens = None, items.lengths, None
    write: Write
    if settings.signal == "embedding":
        write = partial(_record_embedding, model, task, show)
    elif settings.signal == "hidden":
        write = partial(_record_hidden, _layers(settings, model.config.num_hidden_layers), model, task, show)
    else:
        counts = task.data.references(items).counts(len(items))
        tokens = _tokens(inputs, model) if task.model.states is not None else None
        classes = tokens or classes_of(model, task, items)
        recorder, packed = _recorder(settings, model, task, classes, int(counts.sum()), show)
        write = replace(recorder, tokens=tokens).write
    files = record_shards(items, counts, settings.signal, context.scratch / "shards", write)
    head = FileName("head.safetensors") if settings.signal == "states" else None
    if head is not None:
        save_head(model, task, folder / head, tokens)
    return Signals(signal=settings.signal, files=publish(files, folder), top_k=packed, head=head)


def _tokens(inputs: Inputs, model: PreTrainedModel) -> int:
    """Number of the model's logits that are tokens.

    Raises:
        UserError: the data is not in the model's tokens.
    """
    own, width = inputs.model.path(inputs.model.record.model), model.config.get_text_config().vocab_size
    data = Reader.at(f"the data of {inputs.model.step}", inputs.data.base.folder / "tokenizer", width)
    return shared_tokens(Reader.at(inputs.model.step, own, width), data)


def _projected(
    settings: Settings, inputs: Inputs, model: PreTrainedModel, folder: Path, context: Context, show: _Show
) -> Signals:
    """Publish a model's distributions, projected onto the tokens of the data."""
    assert inputs.tokens is not None
    task, data = registry.task(settings.task.type), PreparedData.of(inputs.data)
    items = data.items(settings.split)
    counts = task.data.references(items).counts(len(items))
    own = PreparedData.of(DataInputs(inputs.tokens))
    re_encoding = re_encoding_of(own.tokenizer, data.tokenizer)
    projector = Projector(
        model, task, data.rows(settings.split), own.encoder(settings.task), data.encoder(settings.task), re_encoding
    )
    recorder, packed = _recorder(settings, model, task, len(re_encoding.kept), int(counts.sum()), show)

    def write(first: int, last: int, file: Path, which: str) -> None:
        examples = np.unique(items.example[first:last])
        skipped = first - int(np.searchsorted(items.example, examples[0]))
        recorder.write_projected(projector, projector.windows(examples, skipped, last - first), file, which)

    files = record_ranges(counts, settings.signal, context.scratch / "shards", write)
    facts = counted(files)
    context.progress.say(f"      {show_projection(facts)}")
    return Signals(signal=settings.signal, files=publish(files, folder), top_k=packed, projected=facts)


def show_projection(facts: ProjectionFacts) -> str:
    """`1.5% of 3,494 decisions have no teacher: ...`."""
    share = facts.untaught / max(facts.decisions, 1)
    return (
        f"{share:.2%} of {facts.decisions:,} decisions have no teacher distribution: {facts.spanned:,} where a student "
        f"token spans a teacher token boundary, {facts.unknown:,} where not all continuations of the teacher were "
        "evaluated"
    )


def _recorder(
    settings: Settings, model: PreTrainedModel, task: Task, classes: int, decisions: int, show: _Show
) -> tuple[DistributionRecorder, TopKFacts | None]:
    """The writer of the distributions, and their packing.

    Raises:
        UserError: they would exceed the recipe's limit.
    """
    width, form, temperatures = model.config.hidden_size, FORM_OF[settings.signal], settings.temperatures
    size = distribution_size(form, classes, width, settings.k, settings.bits, len(temperatures))
    refuse_too_large(f"{form} signals on {settings.split}", size.of(decisions), size.a_decision, settings.max_gb)
    bf16 = wants_bf16(settings.compute, model.config)
    started = DistributionRecorder(model, task, show.progress, show.label, bf16=bf16)
    if form == "hidden":
        return replace(started, bits=settings.bits), None
    if form == "dense":
        return started, None
    layout = PackedTopK(classes, min(settings.k, classes), settings.bits, len(temperatures))
    facts = TopKFacts(classes=classes, k=layout.k, bits=layout.bits, temperatures=temperatures)
    return replace(started, layout=layout, temperatures=temperatures, sampled=form == "sampled"), facts


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
    """The layers that any of the maps uses; all if the student's depth is unknown."""
    if settings.student_layers is None:
        return list(range(teacher_layers + 1))
    pairs = [layer_pairs(layer_map, settings.student_layers, teacher_layers) for layer_map in settings.layer_maps]
    return sorted({teacher for mapped in pairs for _, teacher in mapped})
