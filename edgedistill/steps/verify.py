"""Fidelity: a device file against its torch model on the whole validation set, item by item."""

from __future__ import annotations

from pathlib import Path

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.contracts.answers import Answers
from edgedistill.model_files import read_files
from edgedistill.recipe import TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

VERSION = 4


class Settings(Spec):
    """The runtime that runs the files."""

    task: TaskSpec
    runtime: str
    timeout_minutes: float


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `validation.safetensors` (the file's answers), the same of padded batches, and `fidelity.json`."""
    from edgedistill.data import PreparedData
    from edgedistill.measuring.device_model import DeviceModel
    from edgedistill.measuring.judged import BATCHED, Asked, answer_and_judge, fidelity_figures, flips

    data, files = PreparedData.of(inputs), read_files(inputs["file"])
    task = plugins.task(settings.task.type)
    items, metric = data.items("validation"), settings.task.metric
    asked = Asked(
        items,
        references=task.data.references(items),
        expected=Answers.open(inputs["reference"].path("validation.safetensors")),
    )
    model = DeviceModel(files.opened, settings.runtime, settings.task.type, 60 * settings.timeout_minutes)
    with model.opened(context.scratch) as opened:
        found = answer_and_judge(opened, task.judge, asked)
        together = None if files.lengths else answer_and_judge(opened, task.judge, asked, BATCHED)
    found.answers.save(folder / "validation.safetensors")
    facts: dict[str, object] = {**fidelity_figures(found), "backend": opened.loaded.backend}
    facts["accuracy"] = found.figures[metric]
    if together is not None:
        # Scales that a file computes from its input (int8-dynamic) are those of the whole batch, padding included.
        together.answers.save(folder / "validation_batched.safetensors")
        facts["agreement_batched"] = fidelity_figures(together)["agreement"]
        facts["accuracy_batched"] = together.figures[metric]
    raw = data.rows("validation")
    facts["flips"] = flips(task.judge, found, data.labels, lambda example: task.data.show(raw[example], data.columns))
    write_json(folder / "fidelity.json", facts)
