"""The teacher: loaded, and optionally fine-tuned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgedistill.contracts import registry
from edgedistill.contracts.task import Task
from edgedistill.data.prepared import PreparedData
from edgedistill.errors import UserError
from edgedistill.evaluation.chance import against_chance
from edgedistill.models.loading import know_padding, load_model, longest_input
from edgedistill.models.sizes import shape_of
from edgedistill.recipe.teacher_spec import TeacherSpec
from edgedistill.signals.inference import predict
from edgedistill.steps.kinds.train_teacher import Inputs, Settings
from edgedistill.store.records.models import EpochRecord, TrainedModel
from edgedistill.store.step import Context
from edgedistill.training.loop import StageRequest, train_stage
from edgedistill.training.record import judge, save_trained
from edgedistill.training.seeds import derive
from edgedistill.training.training_data import TrainingData
from edgedistill.training.training_module import TrainingModule

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> TrainedModel:
    """Publish `model/`, a transformers folder."""
    data = PreparedData.of(inputs.data)
    task = registry.task(settings.task.type)
    torch.manual_seed(derive(settings.seed, "teacher", "weights"))
    model = untrained(settings.teacher, task, data)
    history: list[EpochRecord] = []
    if settings.teacher.fine_tune is not None:
        hard_label = registry.loss("hard_label")
        metric = task.judge(settings.task).metrics[settings.task.metric]
        term = hard_label.build(hard_label.spec(kind="hard_label"), shape_of(model.config), None)
        module = TrainingModule(model, task, [term])
        request = StageRequest(
            name="fine-tune",
            data=TrainingData.plain([data.items("train")], task),
            schedule=settings.teacher.fine_tune,
            losses=(("hard_label", 1.0),),
            seed=derive(settings.seed, "teacher", "fine-tune"),
            compute=settings.compute,
            judge=judge(task, metric, data.items("validation")),
            metric=metric,
        )
        history = train_stage(module, request, context.scratch, context.progress)
    else:
        _refuse_chance(settings, model, task, data, context)
    return save_trained(model.cpu(), data, history, folder)


def untrained(teacher: TeacherSpec, task: Task, data: PreparedData) -> PreTrainedModel:
    """The teacher as it is before its fine-tuning: from scratch, or loaded.

    Raises:
        UserError: it could not be loaded, or it takes no inputs as long as the recipe's.
    """
    auto_class, labels = task.model.auto_class(), task.model.configuration(data.labels)
    tokenizer = data.load_tokenizer()
    if teacher.scratch is not None:
        vocabulary = 0 if tokenizer is None else len(tokenizer)
        config = task.model.scratch_config(teacher.scratch, vocabulary, data.max_length, data.items("train"), labels)
        return auto_class.from_config(config)
    model = load_model(auto_class, teacher.model, teacher.revision, labels, head_required=teacher.fine_tune is None)
    longest = longest_input(model)
    if data.max_length > longest:
        raise UserError(f"data.max_length: got {data.max_length}, expected at most the teacher's {longest} positions")
    return know_padding(model, tokenizer)


def _refuse_chance(
    settings: Settings, model: PreTrainedModel, task: Task, data: PreparedData, context: Context
) -> None:
    """A teacher that is used as it is must know something of the labels, or nothing can be learned from it.

    Raises:
        UserError: on validation it is not shown to be better than its own answers in random order
            (`chance.against_chance`), and the recipe doesn't accept that.
    """
    items, teacher = data.items("validation"), settings.teacher
    references = task.data.references(items)
    if not references.known.any():
        return
    found = against_chance(settings.task.metric, task.judge(settings.task), predict(model, task, items), references)
    if not found.at_chance:
        return
    sentence = (
        f"teacher.model: '{teacher.model}' is no better than chance: it {found.beside('validation')}, and "
        f"{100 * found.p:.0f}% of {'resamples' if found.guessed else 'orders'} are as good"
    )
    if not teacher.accept_chance:
        named = "check the order of its labels (data.labels gives their names)"
        advice = named if task.data.columns.labels else "expected another model, or data that it was trained for"
        raise UserError(f"{sentence}; {advice}, add teacher.fine_tune, or set teacher.accept_chance: true")
    context.progress.warn(f"{sentence}; accepted by teacher.accept_chance")
