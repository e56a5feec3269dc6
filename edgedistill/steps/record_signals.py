"""Records what one model says about one split, once: logits, or the hidden states that losses ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgedistill import plugins
from edgedistill.interfaces import pooled
from edgedistill.layer_maps import LayerMap, layer_pairs
from edgedistill.recipe import Compute
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    import torch

VERSION = 2


class Settings(Spec):
    """Which signal of which split; hidden states by the layer maps that read them."""

    task: str
    split: Literal["train", "unlabeled"]
    signal: Literal["logits", "hidden", "embedding"]
    compute: Compute
    layer_maps: tuple[LayerMap, ...] = ()
    student_layers: int | None = None


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `SIGNAL.safetensors`: logits (rows) and embedding (items) float32, hidden (tokens by layer) float16."""
    import torch

    from edgedistill.data import PreparedData
    from edgedistill.inference import predict
    from edgedistill.models import load_model
    from edgedistill.signals import create, gather, save_rows
    from edgedistill.training import make_accelerator

    task = plugins.task(settings.task)
    tokens = PreparedData.of(inputs).tokens(settings.split)
    model = load_model(task.model.auto_class(), inputs["model"].path("model"), None, head_required=True).to(
        make_accelerator(settings.compute).device
    )
    label = f"{settings.signal} on {settings.split}"
    if settings.signal == "logits":
        save_rows(
            predict(model, task, tokens, progress=context.progress, label=label),
            folder / "logits.safetensors",
        )
        return
    if settings.signal == "embedding":
        shape = (len(tokens), model.config.hidden_size)
        values = create(folder / "embedding.safetensors", {"values": shape}, {"values": "F32"})["values"]

        def keep_pooled(items: np.ndarray, hidden: Sequence[torch.Tensor]) -> None:
            real = np.arange(hidden[-1].shape[1])[None, :] < tokens.lengths[items][:, None]
            values[items] = pooled(hidden[-1].float().cpu(), torch.from_numpy(real)).numpy()

        predict(model, task, tokens, progress=context.progress, label=label, visit_hidden=keep_pooled)
        return
    layers = _layers(settings, model.config.num_hidden_layers)
    width = model.config.hidden_size
    offsets = tokens.offsets - tokens.offsets[0]
    shapes = {**{str(layer): (int(offsets[-1]), width) for layer in layers}, "offsets": offsets.shape}
    dtypes = {**{str(layer): "F16" for layer in layers}, "offsets": "I64"}
    tensors = create(folder / "hidden.safetensors", shapes, dtypes)
    tensors["offsets"][...] = offsets

    def keep(items: np.ndarray, hidden: Sequence[torch.Tensor]) -> None:
        where = gather(offsets, items)
        real = np.arange(hidden[0].shape[1])[None, :] < tokens.lengths[items][:, None]
        for layer in layers:
            tensors[str(layer)][where] = hidden[layer].float().cpu().numpy()[real].astype(np.float16)

    predict(model, task, tokens, progress=context.progress, label=label, visit_hidden=keep)


def _layers(settings: Settings, teacher_layers: int) -> list[int]:
    """The layers that any of the maps reads; all of them when the student's depth isn't known."""
    if settings.student_layers is None:
        return list(range(teacher_layers + 1))
    pairs = [layer_pairs(each, settings.student_layers, teacher_layers) for each in settings.layer_maps]
    return sorted({teacher for each in pairs for _, teacher in each})
