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

VERSION = 6
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
    from edgedistill.training_record import judge, save_trained

    data = PreparedData.of(inputs)
    task = plugins.find("tasks", settings.task.type)
    torch.manual_seed(settings.seed)
    model = untrained(settings.teacher, task, data)
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
        _refuse_chance(settings, model, data, context)
    save_trained(model.cpu(), data, history, folder)


def untrained(teacher: TeacherSpec, task: Task, data: PreparedData) -> PreTrainedModel:
    """The teacher as it is before its fine-tuning: from nothing, or loaded.

    Raises:
        UserError: it can't be had, or it takes no inputs as long as the recipe's.
    """
    from edgedistill.models import know_padding, load_model, longest_input
    from edgedistill.training_record import label_settings

    auto_class, labels, tokenizer = task.auto_class(), label_settings(data.labels), data.load_tokenizer()
    if teacher.scratch is not None:
        vocabulary = 0 if tokenizer is None else len(tokenizer)
        tokens = data.tokens("train")
        length = data.max_length if task.TOKENS else int(tokens.lengths.max())
        config = task.scratch_config(teacher.scratch, vocabulary, length, labels)
        if "token_type_ids" in tokens.values:  # the second text of a pair has a type of its own
            config.type_vocab_size = int(tokens.values["token_type_ids"].max(initial=0)) + 1
        return auto_class.from_config(config)
    model = load_model(auto_class, teacher.model, teacher.revision, labels, head_required=teacher.fine_tune is None)
    longest = longest_input(model)
    if data.max_length > longest:
        raise UserError(f"data.max_length: got {data.max_length}, expected at most the teacher's {longest} positions")
    return know_padding(model, tokenizer)


def _refuse_chance(settings: Settings, model: PreTrainedModel, data: PreparedData, context: Context) -> None:
    """A teacher that is used as it is must know something of the labels, or nothing can be learned from it.

    Raises:
        UserError: on validation it is not shown to be better than its own answers in random order
            (`chance.against_chance`), and the recipe doesn't accept that.
    """
    from edgedistill.chance import against_chance
    from edgedistill.inference import predict
    from edgedistill.judging import answers_of, judge_of, references_of

    teacher, name = settings.teacher, settings.task.type
    tokens = data.tokens("validation")
    answers = answers_of(predict(model, plugins.find("tasks", name), tokens))
    found = against_chance(judge_of(name), answers, references_of(name, tokens))
    if not found.at_chance:
        return
    sentence = (
        f"teacher.model: '{teacher.model}' is right on {found.right} of {found.decisions} validation items, no better "
        f"than chance (the same answers in random order are right on {found.expected:.1f}, and on as many in "
        f"{100 * found.p:.0f}% of orders)"
    )
    if not teacher.accept_chance:
        raise UserError(
            f"{sentence}; check the order of its labels (data.labels says what each is called), give "
            "teacher.fine_tune, or go on with teacher.accept_chance: true"
        )
    context.progress.say(f"      warning: {sentence}; accepted by teacher.accept_chance")
