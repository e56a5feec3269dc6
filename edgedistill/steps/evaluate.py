"""Logits of a torch model on a split, in fp32: the reference for its device files, and its own figures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.recipe import TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

VERSION = 2


class Settings(Spec):
    """The task and its metric, the split, and the names of the sets from elsewhere."""

    task: TaskSpec
    split: Literal["validation", "test"]
    ood: tuple[str, ...] = ()


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `SPLIT.safetensors` and `ood-NAME.safetensors` (rows), and `accuracy.json` (of the split)."""
    from edgedistill.data import PreparedData
    from edgedistill.inference import predict, references, score
    from edgedistill.models import load_model
    from edgedistill.signals import save_rows

    task = plugins.task(settings.task.type)
    model = load_model(task.model.auto_class(), inputs["model"].path("model"), None, head_required=True)
    tokens = PreparedData.of(inputs).tokens(settings.split)
    rows = predict(model, task, tokens, progress=context.progress, label=settings.split)
    save_rows(rows, folder / f"{settings.split}.safetensors")
    accuracy = score(task, settings.task.metric, rows, references(task, tokens))
    write_json(folder / "accuracy.json", {settings.split: accuracy})
    for name in settings.ood:
        elsewhere = PreparedData.of(inputs, "elsewhere").tokens(name)
        save_rows(
            predict(model, task, elsewhere, progress=context.progress, label=name), folder / f"ood-{name}.safetensors"
        )
