"""Logits of a torch model on validation and test, in fp32: the reference for its device files, and its own figures."""

from __future__ import annotations

from pathlib import Path

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.recipe import TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

VERSION = 1


class Settings(Spec):
    """The task and its metric, and the names of the sets from elsewhere."""

    task: TaskSpec
    ood: tuple[str, ...] = ()


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `validation`, `test` and `ood-NAME.safetensors` (rows), and `accuracy.json`."""
    from edgedistill.data import PreparedData
    from edgedistill.inference import predict, references, score
    from edgedistill.models import load_model
    from edgedistill.signals import save_rows

    data = PreparedData(inputs["data"].folder)
    task = plugins.find("tasks", settings.task.type)
    model = load_model(task.auto_class(), inputs["model"].path("model"), None)
    accuracy: dict[str, float] = {}
    sets = {split: data.tokens(split) for split in ("validation", "test")}
    if settings.ood:
        elsewhere = PreparedData(inputs["elsewhere"].folder)
        sets |= {f"ood-{name}": elsewhere.tokens(name) for name in settings.ood}
    for split, tokens in sets.items():
        rows = predict(model, task, tokens, progress=context.progress, label=split)
        save_rows(rows, folder / f"{split}.safetensors")
        if not split.startswith("ood-"):
            accuracy[split] = score(task, settings.task.metric, rows, references(task, tokens))
    write_json(folder / "accuracy.json", accuracy)
