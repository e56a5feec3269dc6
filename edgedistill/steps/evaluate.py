"""Answers of a torch model on a split, in fp32: the reference for its device files, and its own figures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.recipe import TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

VERSION = 3


class Settings(Spec):
    """The task and its metric, the split, and the names of the sets from elsewhere."""

    task: TaskSpec
    split: Literal["validation", "test"]
    ood: tuple[str, ...] = ()


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `SPLIT.safetensors` and `ood-NAME.safetensors` (answers), and `accuracy.json` (of the split)."""
    from edgedistill.data import PreparedData
    from edgedistill.inference import predict
    from edgedistill.models import load_model

    task = plugins.task(settings.task.type)
    model = load_model(task.model.auto_class(), inputs["model"].path("model"), None, head_required=True)
    items = PreparedData.of(inputs).items(settings.split)
    answers = predict(model, task, items, progress=context.progress, label=settings.split)
    answers.save(folder / f"{settings.split}.safetensors")
    value = task.judge.metrics[settings.task.metric].score(answers, task.data.references(items))
    write_json(folder / "accuracy.json", {settings.split: value})
    for name in settings.ood:
        elsewhere = PreparedData.of(inputs, "elsewhere").items(name)
        said = predict(model, task, elsewhere, progress=context.progress, label=name)
        said.save(folder / f"ood-{name}.safetensors")
