"""One round: a student is made and goes through its stages; or its control, the same without a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import plugins
from edgedistill.interfaces import ModelSizes, StudentRequest
from edgedistill.recipe import Compute, Round, Stage, TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from edgedistill.checkpoint import EpochRecord
    from edgedistill.data import PreparedData
    from edgedistill.training import TrainingData

VERSION = 1
_PROBE_ITEMS, _PROBE_BATCH = 512, 32


class Settings(Spec):
    """The round, and whether it is the control arm."""

    task: TaskSpec
    round: Round
    seed: int
    compute: Compute
    control: bool


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `model/` (a transformers folder) and `training.json`."""
    import torch

    from edgedistill.data import PreparedData
    from edgedistill.models import load_tokenizer
    from edgedistill.training import StageRequest, Trainee, labelled, steps_an_epoch, train_stage
    from edgedistill.training_record import judge, save_trained

    data = PreparedData(inputs["data"].folder)
    task = plugins.find("tasks", settings.task.type)
    torch.manual_seed(settings.seed)
    student = _student(settings, inputs, data)
    teacher = _teacher_sizes(inputs)
    judged = judge(task, settings.task.metric, data.tokens("validation"))
    history: list[EpochRecord] = []
    for number, stage in enumerate(settings.round.stages):
        training = _stage_data(stage, settings, inputs, data)
        steps = steps_an_epoch(len(training.items), stage.batch_size)
        if settings.control:
            training = labelled(training)
        torch.manual_seed(settings.seed + number)
        sizes = ModelSizes(student.config.num_hidden_layers, student.config.hidden_size)
        terms = [plugins.find("losses", loss.kind).build(loss, sizes, teacher) for loss in stage.losses]
        request = StageRequest(
            name=stage.name,
            data=training,
            schedule=stage,
            losses=tuple(_loss_names(stage)),
            seed=settings.seed + number,
            compute=settings.compute,
            judge=judged,
            steps_an_epoch=steps,
        )
        history += train_stage(Trainee(student, task, terms), request, context.scratch, context.progress)
    save_trained(student.cpu(), load_tokenizer(data.tokenizer), history, folder)


def _student(settings: Settings, inputs: Inputs, data: PreparedData) -> PreTrainedModel:
    from edgedistill.inference import to_batch
    from edgedistill.models import load_tokenizer
    from edgedistill.training_record import label_settings

    tokens = data.tokens("train")
    chosen = np.random.default_rng(settings.seed).permutation(len(tokens))[:_PROBE_ITEMS]
    request = StudentRequest(
        spec=settings.round.student,
        source=inputs["source"].path("model") if "source" in inputs else None,
        auto_class=plugins.find("tasks", settings.task.type).auto_class(),
        config_overrides=label_settings(data.labels),
        tokenizer=load_tokenizer(data.tokenizer),
        probe=[to_batch(tokens, chosen[i : i + _PROBE_BATCH]) for i in range(0, len(chosen), _PROBE_BATCH)],
    )
    model: PreTrainedModel = plugins.find("students", settings.round.student.init).build(request)
    return model


def _teacher_sizes(inputs: Inputs) -> ModelSizes | None:
    """Sizes of the one teacher, or None with several or without."""
    from edgedistill.models import load_config

    teachers = [artifact for role, artifact in inputs.items() if role.startswith("teacher:")]
    if len(teachers) != 1:
        return None
    config = load_config(teachers[0].path("model"), None)
    return ModelSizes(config.num_hidden_layers, config.hidden_size)


def _stage_data(stage: Stage, settings: Settings, inputs: Inputs, data: PreparedData) -> TrainingData:
    """The stage's items with the recorded signals of this round's teachers."""
    from edgedistill.signals import LogitSignal, load_hidden, load_rows
    from edgedistill.training import TrainingData, every_item

    tokens = tuple(data.tokens(split) for split in stage.data)
    logits, hidden = [], []
    for split in stage.data:
        rows = tuple(
            load_rows(inputs[role].path("logits.safetensors"))
            for teacher in settings.round.teachers()
            if (role := f"logits:{teacher}:{split}") in inputs
        )
        logits.append(LogitSignal(rows) if rows else None)
        role = f"hidden:{settings.round.teachers()[0]}:{split}"
        hidden.append(load_hidden(inputs[role].path("hidden.safetensors")) if role in inputs else None)
    return TrainingData(tokens, tuple(logits), tuple(hidden), every_item(tokens))


def _loss_names(stage: Stage) -> Iterator[tuple[str, float]]:
    """Name and weight of each loss; a kind that comes twice is numbered."""
    kinds = [loss.kind for loss in stage.losses]
    for number, loss in enumerate(stage.losses):
        earlier = kinds[:number].count(loss.kind)
        yield (f"{loss.kind}_{earlier + 1}" if earlier else loss.kind), loss.weight
