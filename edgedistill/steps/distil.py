"""One round: initialise a student and train it through its stages; or its control, the same without a teacher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgedistill.arrays import Floats
from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.items import Items
from edgedistill.contracts.judge import Judge
from edgedistill.contracts.precision import Arithmetic
from edgedistill.contracts.task import Task
from edgedistill.data.prepared import PreparedData
from edgedistill.recipe.round_spec import ErrorWeights, Place, Stage
from edgedistill.signals.packed_top_k import PackedTopK
from edgedistill.signals.projected import taught
from edgedistill.signals.recorded import Shards, load_hidden
from edgedistill.signals.soft_targets import LogitSignal, SoftTargets, StateSignal, TopKSignal
from edgedistill.steps.kinds.distil import Inputs, Settings, SignalId
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.models import PACKED, EpochRecord, Signals, TrainedModel
from edgedistill.store.step import Context
from edgedistill.training.error_weights import example_weights, teacher_trust
from edgedistill.training.fake_quantization import fake_quantized, round_weights
from edgedistill.training.loop import StageRequest, steps_per_epoch, train_stage
from edgedistill.training.record import judge, save_trained
from edgedistill.training.round_models import refuse_other_tokens, untrained_student, with_losses
from edgedistill.training.seeds import derive
from edgedistill.training.training_data import TrainingData, labelled
from edgedistill.training.training_module import TrainingModule, dropout_at, eager_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROBE_ITEMS = 512


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> TrainedModel:
    """Publish `model/`, a transformers folder."""
    settings = _with_chosen_teacher(settings, inputs)
    data = PreparedData.of(inputs.data)
    task = registry.task(settings.task.type)
    torch.manual_seed(derive(settings.seed, settings.round.id, "weights"))
    student = _student(settings, inputs, data)
    metric = task.judge(settings.task).metrics[settings.task.metric]
    judged = judge(task, metric, data.items("validation"))
    history: list[EpochRecord] = []
    arithmetic: Arithmetic | None = None
    for stage in settings.round.stages:
        training = _stage_data(stage, settings, inputs, data)
        steps = steps_per_epoch(len(training.examples), stage.batch_size)
        if settings.control:  # the same number of steps, on labelled items
            places = [place for place in stage.places() if place.split == "train"] or [Place("train")]
            training = labelled(TrainingData.plain([_items(place, inputs, data) for place in places], task))
        request = StageRequest(
            name=stage.name,
            data=training,
            schedule=stage,
            losses=tuple(_loss_names(stage)),
            seed=derive(settings.seed, settings.round.id, stage.name),
            compute=settings.compute,
            judge=judged,
            metric=metric,
            steps_per_epoch=steps,
            keep="best" if _trains_answers(stage, task) else "last",
        )
        module = _training_module(stage, settings, inputs, student, data)
        shown = eager_attention(student) if "attention" in module.needs else nullcontext()
        arithmetic = registry.quantizer(stage.quantize).arithmetic if stage.quantize is not None else None
        computing = fake_quantized(student, arithmetic) if arithmetic is not None else nullcontext()
        with shown, dropout_at(student, stage.dropout), computing:
            history += train_stage(module, request, context.scratch, context.progress)
    if arithmetic is not None:
        round_weights(student, arithmetic, judged)
    return save_trained(student.cpu(), data, history, folder)


def _with_chosen_teacher(settings: Settings, inputs: Inputs) -> Settings:
    """The settings with the teacher chosen by the trials, if the recipe leaves it open."""
    if inputs.choice is None:
        return settings
    decided = settings.round.model_copy(update={"teacher": inputs.choice.record.chosen})
    return settings.model_copy(update={"round": decided})


def _training_module(
    stage: Stage, settings: Settings, inputs: Inputs, student: PreTrainedModel, data: PreparedData
) -> TrainingModule:
    """The student with the stage's loss terms, and the teacher itself if signals are live."""
    task = registry.task(settings.task.type)
    taught = [] if settings.control else settings.round.teachers()
    teachers = [_folder(inputs.teachers[name]) for name in taught]
    if task.model.states is not None and "logits" in registry.needs(stage.losses):
        same = [name for name in taught if name not in _projected(inputs)]
        folders = {name: _folder(inputs.teachers[name]) for name in same}
        refuse_other_tokens(student, settings.round.id, data, {name: (own, own) for name, own in folders.items()})
    return with_losses(stage.losses, task, student, teachers, frozenset(settings.live), data)


def _projected(inputs: Inputs) -> set[str]:
    """The teachers whose distributions were projected onto the student's tokens."""
    return {wanted.model for wanted, made in inputs.signals.items() if made.record.projected is not None}


def _student(settings: Settings, inputs: Inputs, data: PreparedData) -> PreTrainedModel:
    task = registry.task(settings.task.type)
    source = _folder(inputs.source) if inputs.source is not None else None
    seed = derive(settings.seed, settings.round.id, "probe")
    return untrained_student(settings.round.student, task, source, data, seed, probe_items=_PROBE_ITEMS)


def _folder(artifact: Artifact[TrainedModel]) -> Path:
    return artifact.path(artifact.record.model)


def _stage_data(stage: Stage, settings: Settings, inputs: Inputs, data: PreparedData) -> TrainingData:
    """The stage's items with the recorded signals of the round's teachers and the weights of examples."""
    task = registry.task(settings.task.type)
    own = task.judge(settings.task)
    places = stage.places()
    plain = TrainingData.plain([_items(place, inputs, data) for place in places], task)
    needs = registry.needs(stage.losses)
    one = settings.round.teachers()[0]
    distributions, hidden, embeddings, weights, trust = [], [], [], [], []
    for place, references in zip(places, plain.references, strict=True):
        taught = () if settings.control else settings.round.teachers()
        said = _soft_targets(taught, place, inputs) if "logits" in needs else None
        logits = said if isinstance(said, LogitSignal) else None
        distributions.append(said)
        files = _recorded(SignalId("hidden", one, place), inputs) if "hidden" in needs else ()
        hidden.append(load_hidden(files) if files else None)
        files = _recorded(SignalId("embedding", one, place), inputs) if "embedding" in needs else ()
        embeddings.append(Shards.of(files) if files else None)
        weights.append(_weights(stage.errors, place, task, own, references, logits, inputs) if stage.errors else None)
        trust.append(
            _taught(taught, place, inputs)
            if task.data.sequences
            else _trust(stage.teacher_errors, task, own, references, logits)
        )
    return replace(
        plain,
        soft_targets=tuple(distributions),
        hidden=tuple(hidden),
        embeddings=tuple(embeddings),
        weights=tuple(weights),
        trust=tuple(trust),
        oversampled=stage.errors is not None and stage.errors.apply == "oversample",
    )


def _soft_targets(teachers: Sequence[str], place: Place, inputs: Inputs) -> SoftTargets | None:
    """The teachers' recorded distributions for the decisions of a split or view; None if not recorded."""
    logits = [files for teacher in teachers if (files := _recorded(SignalId("logits", teacher, place), inputs))]
    for teacher in teachers:
        states = inputs.signals.get(SignalId("states", teacher, place))
        if states is not None and states.record.head is not None:
            return StateSignal.of(_files(states), states.path(states.record.head))
        for signal in PACKED:
            packed = inputs.signals.get(SignalId(signal, teacher, place))
            if packed is not None and (facts := packed.record.top_k) is not None:
                layout = PackedTopK(facts.classes, facts.k, facts.bits, len(facts.temperatures))
                return TopKSignal(Shards.of(_files(packed)), layout, facts.temperatures)
    return LogitSignal(tuple(Shards.of(files) for files in logits)) if logits else None


def _taught(teachers: Sequence[str], place: Place, inputs: Inputs) -> Floats | None:
    """(D,) 1 where all teachers have a distribution, 0 where one lacks it; None: they have it everywhere."""
    import numpy as np

    there = [made for wanted, made in inputs.signals.items() if wanted.model in teachers and wanted.place == place]
    known = [taught(_files(made)) for made in there if made.record.projected is not None]
    return np.all(known, axis=0).astype(np.float32) if known else None


def _recorded(wanted: SignalId, inputs: Inputs) -> tuple[Path, ...]:
    """The files of a signal; none if it is not recorded."""
    artifact = inputs.signals.get(wanted)
    return _files(artifact) if artifact is not None else ()


def _files(signals: Artifact[Signals]) -> tuple[Path, ...]:
    return tuple(signals.path(file) for file in signals.record.files)


def _items(place: Place, inputs: Inputs, data: PreparedData) -> Items:
    """The items of a split, or of a stage's augmented views of it."""
    if place.stage:
        data = PreparedData.of(DataInputs(inputs.views[place.stage]))
    return data.items(place.split)


def _weights(
    errors: ErrorWeights,
    place: Place,
    task: Task,
    own: Judge,
    references: References,
    teacher: LogitSignal | None,
    inputs: Inputs,
) -> Floats:
    """Weights of the examples, from the earlier model's errors."""
    assert own.error_weights is not None, "the recipe checks that the task knows errors"
    recorded = _recorded(SignalId("logits", errors.of, place), inputs)
    assert recorded, "the plan records what a stage corrects"
    predecessor = _answers(task, Shards.of(recorded).every(), references)  # type: ignore[arg-type]
    targets = references
    if errors.against == "teacher":
        assert teacher is not None, "the recipe checks that such a stage has a loss on logits"
        assert own.as_references is not None, "and that the task can take answers as right"
        targets = own.as_references(_answers(task, teacher.all_rows(), references))
    raw = own.error_weights(predecessor, targets, errors.kind, errors.strength)
    return example_weights(raw, targets, int(references.example.max(initial=-1)) + 1)


def _trust(weight: float, task: Task, own: Judge, references: References, teacher: LogitSignal | None) -> Floats | None:
    """Weight of the teacher on each decision."""
    if weight == 1.0 or teacher is None:
        return None
    assert own.right is not None, "the recipe checks that the task knows errors"
    right = own.right(_answers(task, teacher.all_rows(), references), references)
    return teacher_trust(right, references, weight)


def _answers(task: Task, logits: Floats, references: References) -> Answers:
    """Answers of a model from its recorded logits."""
    assert task.model.answers_of_logits is not None, "a task with logits has it"
    return Answers(task.model.answers_of_logits(logits), references.item, references.example)


def _trains_answers(stage: Stage, task: Task) -> bool:
    """Whether a stage's losses train the output head; a task without logits answers with its last states."""
    return task.model.logits is None or bool(registry.needs(stage.losses) & {"labels", "logits"})


def _loss_names(stage: Stage) -> Iterator[tuple[str, float]]:
    """Name and weight of each loss; repeated kinds are numbered."""
    kinds = [loss.kind for loss in stage.losses]
    for number, loss in enumerate(stage.losses):
        earlier = kinds[:number].count(loss.kind)
        yield (f"{loss.kind}_{earlier + 1}" if earlier else loss.kind), loss.weight
