"""The teacher: loaded, and fine-tuned on the task when the recipe says so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill import plugins
from edgedistill.errors import UserError
from edgedistill.recipe import Compute, TaskSpec, TeacherSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from edgedistill.data import PreparedData
    from edgedistill.interfaces import Task

VERSION = 5
VOLATILE = ("training.json",)


class Settings(Spec):
    """Which model, and how it is fine-tuned."""

    task: TaskSpec
    teacher: TeacherSpec
    seed: int
    compute: Compute


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `model/` (a transformers folder) and `training.json`."""
    import torch

    from edgedistill.checkpoint import EpochRecord
    from edgedistill.data import PreparedData
    from edgedistill.losses.hard_label import HardLabelSpec, build
    from edgedistill.trainee import Trainee
    from edgedistill.training import StageRequest, TrainingData, train_stage
    from edgedistill.training_record import judge, label_settings, save_trained

    data = PreparedData.of(inputs)
    task = plugins.find("tasks", settings.task.type)
    torch.manual_seed(settings.seed)
    model = _model(settings.teacher, task, label_settings(data.labels), data)
    history: list[EpochRecord] = []
    if settings.teacher.fine_tune is not None:
        tokens = data.tokens("train")
        trainee = Trainee(model, task, [build(HardLabelSpec(kind="hard_label"))])
        request = StageRequest(
            name="fine-tune",
            data=TrainingData.plain([tokens]),
            schedule=settings.teacher.fine_tune,
            losses=(("hard_label", 1.0),),
            seed=settings.seed,
            compute=settings.compute,
            judge=judge(task, settings.task.metric, data.tokens("validation")),
        )
        history = train_stage(trainee, request, context.scratch, context.progress)
    else:
        _refuse_chance(settings.teacher, model, task, data, context)
    save_trained(model.cpu(), data, history, folder)


def _model(teacher: TeacherSpec, task: Task, labels: dict[str, object], data: PreparedData) -> PreTrainedModel:
    from edgedistill.models import load_model, longest_input

    if teacher.scratch is not None:
        tokenizer = data.load_tokenizer()
        vocabulary = 0 if tokenizer is None else len(tokenizer)
        length = data.max_length if task.TOKENS else int(data.tokens("train").lengths.max())
        return task.auto_class().from_config(task.scratch_config(teacher.scratch, vocabulary, length, labels))
    auto_class = task.auto_class()
    model = load_model(auto_class, teacher.model, teacher.revision, labels, head_required=teacher.fine_tune is None)
    longest = longest_input(model.config)
    if data.max_length > longest:
        raise UserError(f"data.max_length: got {data.max_length}, expected at most the teacher's {longest} positions")
    return model


def _refuse_chance(
    teacher: TeacherSpec, model: PreTrainedModel, task: Task, data: PreparedData, context: Context
) -> None:
    """A teacher that is used as it is must know something of the labels, or nothing can be learned from it.

    Raises:
        UserError: on validation it is not shown to be better than its own answers in random order
            (`chance.against_chance`), and the recipe doesn't accept that.
    """
    from edgedistill.chance import against_chance
    from edgedistill.inference import predict, references

    tokens = data.tokens("validation")
    decisions, labels = predict(model, task, tokens).values.argmax(axis=1), references(task, tokens)
    found = against_chance(decisions[labels != -100], labels[labels != -100])
    if not found.at_chance:
        return
    sentence = (
        f"teacher.model: '{teacher.model}' is right on {found.right} of {found.items} validation items, no better than "
        f"chance (the same answers in random order are right on {found.expected:.1f}, and on as many in "
        f"{100 * found.p:.0f}% of orders)"
    )
    if not teacher.accept_chance:
        raise UserError(
            f"{sentence}; check the order of its labels (data.labels says what each is called), give "
            "teacher.fine_tune, or go on with teacher.accept_chance: true"
        )
    context.progress.say(f"      warning: {sentence}; accepted by teacher.accept_chance")
