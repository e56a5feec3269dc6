"""A round's student before its first stage, and with the loss terms of a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import evenly_spaced
from edgedistill.contracts import registry
from edgedistill.contracts.student import StudentRequest
from edgedistill.contracts.task import Task
from edgedistill.data.prepared import each_row
from edgedistill.errors import UserError
from edgedistill.models.loading import know_padding, load_config, load_model, load_tokenizer
from edgedistill.models.sizes import described, shape_of
from edgedistill.training.decisions import losses_of, pass_through
from edgedistill.training.training_data import TrainingData
from edgedistill.training.training_module import LiveTeacher, Masking, TrainingModule
from edgedistill.vocabulary.agreement import Reader, shared_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from edgedistill.data.prepared import PreparedData
    from edgedistill.recipe.plugin_unions import LossSpec, StudentSpec

_PROBE_BATCH = 32
_TEXTS, _CHARACTERS = 256, 1000
"""Training texts to compare tokenizers on, and how much of each."""


def untrained_student(
    spec: StudentSpec, task: Task, source: Path | None, data: PreparedData, seed: int, *, probe_items: int
) -> PreTrainedModel:
    """The student that `spec` builds from the model in `source`.

    Args:
        probe_items: number of training examples for measuring importance.

    Raises:
        UserError: the initialisation's own.
    """
    items, tokenizer = data.items("train"), data.load_tokenizer()
    training = TrainingData.plain([items], task)
    chosen = np.random.default_rng(seed).permutation(len(training.examples))[:probe_items]
    request = StudentRequest(
        spec=spec,
        source=source,
        auto_class=task.model.auto_class(),
        config_overrides=task.model.configuration(data.labels),
        tokenizer=tokenizer,
        train=items,
        kept_tokens=list(data.facts.kept_tokens) if data.facts.kept_tokens is not None else None,
        probe=[training.fetch(chosen[i : i + _PROBE_BATCH].tolist()) for i in range(0, len(chosen), _PROBE_BATCH)],
        read=lambda model, batch: pass_through(task, model, batch),
        loss=None if task.model.loss is None else lambda model, batch: losses_of(task, model, batch),
        texts=_texts(task, data) if tokenizer is not None else (),
    )
    return know_padding(registry.student(spec.init).build(request), tokenizer)


def _texts(task: Task, data: PreparedData) -> list[str]:
    """Beginnings of some training texts."""
    rows = data.rows("train")
    chosen = rows.select(evenly_spaced(len(rows), _TEXTS))
    return [task.data.show(row, data.columns)[:_CHARACTERS] for row in each_row(chosen)]


def with_losses(
    losses: Sequence[LossSpec],
    task: Task,
    student: PreTrainedModel,
    teachers: Sequence[Path],
    live: frozenset[str],
    data: PreparedData,
) -> TrainingModule:
    """The student with the terms of one stage, and with the teacher itself for the signals that are `live`.

    Args:
        teachers: folders of the round's teachers; none for a control.

    Raises:
        UserError: a loss that does not suit these models, or masking without a mask token.
    """
    needs = registry.needs(losses)
    teacher = None
    if shown := needs & live:
        model = load_model(task.model.auto_class(), teachers[0], None, head_required=True)
        teacher = LiveTeacher(model, task, shown, dense="hidden" not in registry.forms(losses))
    own = described(student)
    given = shape_of(load_config(teachers[0], None)) if len(teachers) == 1 else None
    terms = [registry.loss(loss.kind).build(loss, own, given) for loss in losses]
    masking = _masking(data, own.vocabulary) if "masked" in needs else None
    tokens = tokens_of(data) if "logits" in needs and task.model.states is not None else None
    return TrainingModule(student, task, terms, needs, teacher, masking, tokens)


def refuse_other_tokens(
    student: PreTrainedModel, name: str, data: PreparedData, teachers: Mapping[str, tuple[Path, Path]]
) -> None:
    """Check each teacher's vocabulary against the student's.

    Args:
        teachers: folders of each teacher's model and tokenizer, by name.

    Raises:
        UserError: the same id stands for different tokens.
    """
    own = Reader.at(name, data.tokenizer, _width(student.config))
    for teacher, (model, tokenizer) in teachers.items():
        shared_tokens(Reader.at(teacher, tokenizer, _width(load_config(model, None))), own)


def _width(config: PreTrainedConfig) -> int:
    return int(config.get_text_config().vocab_size)


def tokens_of(data: PreparedData) -> int:
    """Number of logits that are tokens."""
    tokenizer = data.load_tokenizer()
    assert tokenizer is not None, "models over a vocabulary have a tokenizer"
    return max(tokenizer.get_vocab().values()) + 1


def _masking(data: PreparedData, vocabulary: int) -> Masking:
    tokenizer = load_tokenizer(data.tokenizer)
    if tokenizer.mask_token_id is None:
        raise UserError("masked_lm needs a mask token, and the teacher's tokenizer has none")
    return Masking(tokenizer.mask_token_id, vocabulary, tuple(tokenizer.all_special_ids))
