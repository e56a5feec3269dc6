"""Tries what a run needs of a model on a few inputs, before anything is trained.

The teacher is loaded or built; a student is built from untrained models. Their weights do not matter here. No other
step reads this step's output.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgedistill.contracts import registry
from edgedistill.contracts.batch import Batch
from edgedistill.contracts.distribution import Dense, Form, HiddenAndHead
from edgedistill.contracts.items import Items
from edgedistill.contracts.task import Task
from edgedistill.data.prepared import PreparedData
from edgedistill.models.architectures import kind_of, suitable
from edgedistill.models.loading import load_config, load_model, parameter_count, save_model
from edgedistill.recipe import references
from edgedistill.recipe.teacher_spec import Schedule
from edgedistill.signals.inference import predict
from edgedistill.steps.kinds.probe_model import Inputs, ProbedModel, Settings
from edgedistill.steps.train_teacher import untrained
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.records.models import Probe
from edgedistill.store.step import Context
from edgedistill.training import probing
from edgedistill.training.fake_quantization import fake_quantized
from edgedistill.training.probing import Subject, check_learning, explained, probe_items
from edgedistill.training.round_models import refuse_other_tokens, tokens_of, untrained_student, with_losses
from edgedistill.training.training_data import TrainingData

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_IMPORTANCE_ITEMS = 8
_SEED = 0
_LIVE = frozenset({"hidden", "embedding", "attention", "relations"})


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Probe:
    """Try the last model.

    Raises:
        UserError: the model cannot be built, or cannot do what the run needs.
    """
    task: Task = registry.task(settings.task)
    *before, last = settings.models
    made: dict[str, Path] = {}
    with tempfile.TemporaryDirectory(dir=context.scratch) as place:
        for probed in before:
            subject = _make(probed, settings, task, PreparedData.of(DataInputs(inputs.data[probed.id])), made)
            made[probed.id] = Path(place) / probed.id
            with probing.explained(subject, "cannot be saved as safetensors"):
                save_model(subject.model, made[probed.id])
        data = PreparedData.of(DataInputs(inputs.data[last.id]))
        subject = _make(last, settings, task, data, made)
        items = probing.probe_items(data, task)
        difference = probing.check_answers(subject, task, items)
        probing.check_head(subject, task, items)
        probing.check_saving(subject, task, items, Path(place) / last.id)
        _check_losses(subject, settings, inputs, task, made)
        _check_arithmetic(subject, settings, items, task)
    return Probe(
        model=last.id,
        architecture=subject.model.config.model_type,
        parameters=parameter_count(subject.model),
        lengths=tuple(items.lengths.tolist()),
        largest_change_by_padding=difference,
    )


def _make(probed: ProbedModel, settings: Settings, task: Task, data: PreparedData, made: Mapping[str, Path]) -> Subject:
    """The model before any training, and the remedy if it is unsuitable."""
    torch.manual_seed(_SEED)
    student = probed.student
    if student is None:
        schedule = Schedule() if probed.tuned else None
        teacher = settings.teacher.model_copy(update={"fine_tune": schedule})
        name, remedy = "the teacher", "expected another model for the teacher"
        origin = teacher.model or "scratch"
        model = probing.attempt(name, origin, remedy, lambda: untrained(teacher, task, data))
        return probing.Subject(model.cpu().eval(), name, remedy)
    source = made[probed.source] if probed.source is not None else None
    name, remedy = f"the student of {probed.id} (init: {student.init})", "expected another model for the student"
    given = references.model_of(student)
    origin = given.name if given is not None else ""
    if source is not None:
        config = load_config(source, None).to_dict()
        others = [init for init in suitable(config) if init != student.init]
        origin, remedy = kind_of(config), f"use init: {' or '.join(others)}"
    model = probing.attempt(
        name,
        origin,
        remedy,
        lambda: untrained_student(student, task, source, data, _SEED, probe_items=_IMPORTANCE_ITEMS),
    )
    return probing.Subject(model.cpu().eval(), name, remedy)


def _check_losses(subject: Subject, settings: Settings, inputs: Inputs, task: Task, made: Mapping[str, Path]) -> None:
    """The losses of every stage, and hard labels for the teacher's fine-tuning and the control."""
    data = PreparedData.of(DataInputs(inputs.data[settings.models[-1].id]))
    items = probe_items(data, task)
    training = TrainingData.plain([items], task)
    plain = training.fetch(range(len(training.examples)))
    hard_label = registry.loss("hard_label").spec(kind="hard_label")
    own = ((hard_label,),) if task.learns_labels else ()
    folders = [made[name] for name in settings.teachers]
    teachers = [load_model(task.model.auto_class(), folder, None) for folder in folders]
    tokens = _tokens(subject, settings, inputs, task, made)
    if task.data.sequences is not None and any("logits" in registry.needs(losses) for losses in settings.stages):
        _check_projected(dict(zip(settings.teachers, teachers, strict=True)), settings, inputs, task)
    for losses in (*own, *settings.stages):
        batch = plain
        if "logits" in registry.needs(losses):
            said = _said(teachers, task, plain, registry.forms(losses))
            batch = replace(plain, teacher=said if tokens is None else said.first(tokens))
        with explained(subject, f"cannot be trained with {', '.join(loss.kind for loss in losses)}"):
            module = with_losses(losses, task, subject.model, folders, _LIVE, data)
        check_learning(subject, task, module, [loss.weight for loss in losses], batch)


def _check_projected(teachers: Mapping[str, PreTrainedModel], settings: Settings, inputs: Inputs, task: Task) -> None:
    """The teachers whose distributions are projected onto the student's tokens."""
    own = inputs.data[settings.models[-1].id]
    for name, teacher in teachers.items():
        if inputs.data[name].key != own.key:
            remedy = "expected a student with all of the teacher's tokens, or another teacher"
            items = probe_items(PreparedData.of(DataInputs(inputs.data[name])), task)
            probing.check_reading(Subject(teacher, f"the teacher {name}", remedy), task, items)


def _check_arithmetic(subject: Subject, settings: Settings, items: Items, task: Task) -> None:
    """Enter the arithmetic of every precision that a stage trains for, which refuses layers that it does not cover."""
    for precision in settings.quantized:
        arithmetic = registry.quantizer(precision).arithmetic
        assert arithmetic is not None, "the recipe checks that it is known"
        with fake_quantized(subject.model, arithmetic):
            predict(subject.model, task, items)


def _tokens(subject: Subject, settings: Settings, inputs: Inputs, task: Task, made: Mapping[str, Path]) -> int | None:
    """Number of the student's logits that are tokens; None if they are over classes.

    Raises:
        UserError: a teacher has other tokens, and the student's were not derived from them.
    """
    if task.model.states is None:
        return None
    name = settings.models[-1].id
    own = inputs.data[name]
    same = [teacher for teacher in settings.teachers if inputs.data[teacher].key == own.key]
    folders = {teacher: (made[teacher], inputs.data[teacher].folder / "tokenizer") for teacher in same}
    data = PreparedData.of(DataInputs(own))
    refuse_other_tokens(subject.model, name, data, folders)
    return tokens_of(data)


def _said(teachers: list[PreTrainedModel], task: Task, batch: Batch, forms: frozenset[Form]) -> Dense | HiddenAndHead:
    """One teacher's states and head, if the losses accept them; or the mean logits of all teachers."""
    states, head, logits = task.model.states, task.model.head, task.model.logits
    assert logits is not None, "the plan gives losses on logits to tasks that have them"
    with torch.no_grad():
        if len(teachers) == 1 and states is not None and head is not None and "hidden" in forms:
            (teacher,) = teachers
            return head(teacher).on(states(teacher, batch.columns))
        every = [logits(task.model.forward(teacher, batch.inputs), batch.columns) for teacher in teachers]
        return Dense(torch.stack(every).mean(0))
