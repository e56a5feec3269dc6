"""One round: a student is made and goes through its stages; or its control, the same without a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import plugins
from edgedistill.recipe import Compute, ErrorWeights, Round, Stage, TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from edgedistill.checkpoint import EpochRecord
    from edgedistill.data import PreparedData
    from edgedistill.interfaces import Floats
    from edgedistill.ragged import Ragged
    from edgedistill.signals import LogitSignal, RowValues
    from edgedistill.trainee import Trainee
    from edgedistill.training import TrainingData

VERSION = 8
VOLATILE = ("training.json",)
_PROBE_ITEMS = 512


class Settings(Spec):
    """The round, and whether it is the control arm."""

    task: TaskSpec
    round: Round
    seed: int
    compute: Compute
    control: bool
    live: tuple[str, ...] = ()
    """Signals that the teacher gives while the student trains."""


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `model/` (a transformers folder) and `training.json`."""
    settings = _with_chosen_teacher(settings, inputs)
    import torch

    from edgedistill.data import PreparedData
    from edgedistill.trainee import attention_shown, dropout_at
    from edgedistill.training import StageRequest, TrainingData, labelled, steps_an_epoch, train_stage
    from edgedistill.training_record import judge, save_trained

    data = PreparedData.of(inputs)
    task = plugins.task(settings.task.type)
    torch.manual_seed(settings.seed)
    student = _student(settings, inputs, data)
    judged = judge(task, settings.task.metric, data.tokens("validation"))
    history: list[EpochRecord] = []
    for number, stage in enumerate(settings.round.stages):
        training = _stage_data(stage, settings, inputs, data)
        steps = steps_an_epoch(len(training.items), stage.batch_size)
        if settings.control:  # as many steps, on what has labels
            places = [place for place in stage.places() if place.startswith("train")] or ["train"]
            training = labelled(TrainingData.plain([_tokens(place, stage, inputs, data) for place in places]))
        torch.manual_seed(settings.seed + number)
        request = StageRequest(
            name=stage.name,
            data=training,
            schedule=stage,
            losses=tuple(_loss_names(stage)),
            seed=settings.seed + number,
            compute=settings.compute,
            judge=judged,
            steps_an_epoch=steps,
            keep="best" if plugins.needs(stage.losses) & {"labels", "logits"} else "last",
        )
        trainee = _trainee(stage, settings, inputs, student, data)
        shown = attention_shown(student) if "attention" in trainee.needs else nullcontext()
        with shown, dropout_at(student, stage.dropout):
            history += train_stage(trainee, request, context.scratch, context.progress)
    save_trained(student.cpu(), data, history, folder)


def _with_chosen_teacher(settings: Settings, inputs: Inputs) -> Settings:
    """The settings with the teacher that the trials chose, where the recipe leaves it open."""
    if "choice" not in inputs:
        return settings
    chosen = inputs["choice"].read_json("choice.json")["chosen"]
    assert isinstance(chosen, list)
    decided = settings.round.model_copy(update={"teacher": tuple(chosen)})
    return settings.model_copy(update={"round": decided})


def _trainee(stage: Stage, settings: Settings, inputs: Inputs, student: PreTrainedModel, data: PreparedData) -> Trainee:
    """The student with the stage's loss terms, and with the teacher itself when signals are live."""
    from edgedistill.round_models import with_losses

    task = plugins.task(settings.task.type)
    taught = [] if settings.control else settings.round.teachers()
    teachers = [inputs[f"teacher:{name}"].path("model") for name in taught]
    return with_losses(stage.losses, task, student, teachers, frozenset(settings.live), data)


def _student(settings: Settings, inputs: Inputs, data: PreparedData) -> PreTrainedModel:
    from edgedistill.round_models import untrained_student

    task = plugins.task(settings.task.type)
    source = inputs["source"].path("model") if "source" in inputs else None
    return untrained_student(settings.round.student, task, source, data, settings.seed, probe_items=_PROBE_ITEMS)


def _stage_data(stage: Stage, settings: Settings, inputs: Inputs, data: PreparedData) -> TrainingData:
    """The stage's items with the recorded signals of this round's teachers, and with how much each item counts."""
    from edgedistill.inference import references
    from edgedistill.signals import LogitSignal, load_embedding, load_hidden, load_rows
    from edgedistill.training import TrainingData

    task = plugins.task(settings.task.type)
    places = stage.places()
    tokens = tuple(_tokens(place, stage, inputs, data) for place in places)
    needs = plugins.needs(stage.losses)
    one = settings.round.teachers()[0]
    logits, hidden, embeddings, weights, trust = [], [], [], [], []
    for split, each in zip(places, tokens, strict=True):
        rows = tuple(
            load_rows(inputs[role].path("logits.safetensors"))
            for teacher in ([] if settings.control else settings.round.teachers())
            if (role := f"logits:{teacher}:{split}") in inputs
        )
        signal = LogitSignal(rows) if rows and "logits" in needs else None
        logits.append(signal)
        role = f"hidden:{one}:{split}"
        recorded = role in inputs and "hidden" in needs
        hidden.append(load_hidden(inputs[role].path("hidden.safetensors")) if recorded else None)
        role = f"embedding:{one}:{split}"
        recorded = role in inputs and "embedding" in needs
        embeddings.append(load_embedding(inputs[role].path("embedding.safetensors")) if recorded else None)
        labels = references(task, each)
        weights.append(_weights(stage.errors, split, labels, signal, inputs) if stage.errors else None)
        trust.append(_trust(stage.teacher_errors, labels, signal))
    return replace(
        TrainingData.plain(tokens),
        logits=tuple(logits),
        hidden=tuple(hidden),
        embeddings=tuple(embeddings),
        weights=tuple(weights),
        trust=tuple(trust),
        oversampled=stage.errors is not None and stage.errors.apply == "oversample",
    )


def _tokens(place: str, stage: Stage, inputs: Inputs, data: PreparedData) -> Ragged:
    """The items of `train`, or of `train@STAGE`, its views."""
    from edgedistill.data import PreparedData

    split = place.split("@")[0]
    return data.tokens(split) if split == place else PreparedData.of(inputs, f"views:{stage.name}").tokens(split)


def _weights(
    errors: ErrorWeights, split: str, labels: np.ndarray, teacher: LogitSignal | None, inputs: Inputs
) -> Floats:
    """How much each item of a split counts, by what the predecessor makes of it."""
    from edgedistill.error_weights import error_weights
    from edgedistill.signals import item_of_row, load_rows

    predecessor = load_rows(inputs[f"logits:{errors.of}:{split}"].path("logits.safetensors"))
    targets = labels
    if errors.against == "teacher":
        assert teacher is not None, "the recipe checks that such a stage has a loss on logits"
        targets = teacher.all_rows().argmax(axis=1)
    owners = item_of_row(predecessor.offsets)
    return error_weights(predecessor.values, targets, owners, len(predecessor), errors.kind, errors.strength)


def _trust(weight: float, labels: np.ndarray, teacher: LogitSignal | None) -> RowValues | None:
    """How far the teacher is trusted on each row."""
    from edgedistill.error_weights import teacher_trust
    from edgedistill.signals import RowValues

    if weight == 1.0 or teacher is None:
        return None
    return RowValues(teacher_trust(teacher.all_rows(), labels, weight), teacher.offsets)


def _loss_names(stage: Stage) -> Iterator[tuple[str, float]]:
    """Name and weight of each loss; a kind that comes twice is numbered."""
    kinds = [loss.kind for loss in stage.losses]
    for number, loss in enumerate(stage.losses):
        earlier = kinds[:number].count(loss.kind)
        yield (f"{loss.kind}_{earlier + 1}" if earlier else loss.kind), loss.weight
