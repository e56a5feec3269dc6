"""Logits of a torch model on a split, in fp32: the reference for its device files, and its own figures."""

from __future__ import annotations

from pathlib import Path

from edgedistill import plugins
from edgedistill.step import Context
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.records.base import FileName
from edgedistill.store.records.models import Evaluation

from .kinds.evaluate import Inputs, Settings


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Evaluation:
    """Publish `SPLIT.safetensors` and `ood-NAME.safetensors` (rows)."""
    from edgedistill.data import PreparedData
    from edgedistill.inference import predict, references, score
    from edgedistill.models import load_model
    from edgedistill.signals import save_rows

    task = plugins.task(settings.task.type)
    model = load_model(task.auto_class(), inputs.model.path(inputs.model.record.model), None, head_required=True)
    tokens = PreparedData.of(inputs.data).tokens(settings.split)
    rows = predict(model, task, tokens, progress=context.progress, label=settings.split)
    made = Evaluation(
        split=settings.split,
        accuracy=score(task, settings.task.metric, rows, references(task, tokens)),
        answers=FileName(f"{settings.split}.safetensors"),
        ood={name: FileName(f"ood-{name}.safetensors") for name in settings.ood},
    )
    save_rows(rows, folder / made.answers)
    if inputs.elsewhere is not None:
        elsewhere = PreparedData.of(DataInputs(inputs.elsewhere))
        for name, file in made.ood.items():
            asked = predict(model, task, elsewhere.tokens(name), progress=context.progress, label=name)
            save_rows(asked, folder / file)
    return made
