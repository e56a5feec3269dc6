"""Answers of a PyTorch model on a split, in fp32: the reference for its exported files, and its own figures."""

from __future__ import annotations

from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.data.prepared import PreparedData
from edgedistill.device.generation import generate
from edgedistill.measuring.samples import beginnings_of, samples_of
from edgedistill.models.loading import load_model
from edgedistill.signals.inference import predict
from edgedistill.steps.kinds.evaluate import Inputs, Settings
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.records.base import FileName
from edgedistill.store.records.models import Evaluation
from edgedistill.store.step import Context
from edgedistill.training.loop import make_accelerator


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Evaluation:
    """Publish `SPLIT.safetensors` and `ood-NAME.safetensors` (answers), and `probe.safetensors` for a task with a
    probe."""
    from safetensors.numpy import save_file

    task = registry.task(settings.task.type)
    folder_of_model = inputs.model.path(inputs.model.record.model)
    model = load_model(task.model.auto_class(), folder_of_model, None, head_required=True)
    model = model.to(make_accelerator(settings.compute).device)
    data = PreparedData.of(inputs.data)
    items = data.items(settings.split)
    answers = predict(model, task, items, progress=context.progress, label=settings.split)
    made = Evaluation(
        split=settings.split,
        value=task.judge(settings.task).metrics[settings.task.metric].score(answers, task.data.references(items)),
        answers=FileName(f"{settings.split}.safetensors"),
        ood={name: FileName(f"ood-{name}.safetensors") for name in settings.ood},
        probe=FileName("probe.safetensors") if task.model.probe and settings.split == "validation" else None,
    )
    if task.model.probe is not None and made.probe is not None:
        save_file(dict(task.model.probe(model, items)), folder / made.probe)
    if task.samples is not None and settings.split == "test":
        assert task.model.decoder is not None, "its models continue texts"
        asked, decoder = beginnings_of(task, data, "test", settings.task), task.model.decoder(model)
        said = [generate(decoder, prompt, asked.count) for prompt in asked.tokens]
        made = made.model_copy(update={"beginnings": asked.texts, "samples": samples_of(task, data, asked, said)})
    answers.save(folder / made.answers)
    if inputs.ood_data is not None:
        ood_data = PreparedData.of(DataInputs(inputs.ood_data))
        for name, file in made.ood.items():
            predict(model, task, ood_data.items(name), progress=context.progress, label=name).save(folder / file)
    return made
