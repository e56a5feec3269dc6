"""What a round trains: its student before the first stage, and that student with the loss terms of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import plugins
from .contracts.student import StudentRequest
from .errors import UserError
from .interfaces import Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .data import PreparedData
    from .recipe import LossSpec, StudentSpec
    from .trainee import Masking, Trainee

_PROBE_BATCH = 32


def untrained_student(
    spec: StudentSpec, task: Task, source: Path | None, data: PreparedData, seed: int, *, probe_items: int
) -> PreTrainedModel:
    """The student that `spec` makes of the model in `source`.

    Args:
        probe_items: how many training items initialisations that measure importance look at.

    Raises:
        UserError: the initialisation's own.
    """
    from .inference import to_batch
    from .models import know_padding
    from .training_record import label_settings

    tokens, tokenizer = data.tokens("train"), data.load_tokenizer()
    chosen = np.random.default_rng(seed).permutation(len(tokens))[:probe_items]
    request = StudentRequest(
        spec=spec,
        source=source,
        auto_class=task.auto_class(),
        config_overrides=label_settings(data.labels),
        tokenizer=tokenizer,
        train=tokens,
        kept_tokens=list(data.facts.kept_tokens) if data.facts.kept_tokens is not None else None,
        probe=[to_batch(tokens, chosen[i : i + _PROBE_BATCH]) for i in range(0, len(chosen), _PROBE_BATCH)],
    )
    return know_padding(plugins.student(spec.init).build(request), tokenizer)


def with_losses(
    losses: Sequence[LossSpec],
    task: Task,
    student: PreTrainedModel,
    teachers: Sequence[Path],
    live: frozenset[str],
    data: PreparedData,
) -> Trainee:
    """The student with the terms of one stage, and with the teacher itself for the signals that are `live`.

    Args:
        teachers: folders of the round's teachers; none for a control.

    Raises:
        UserError: a term that these models can't be given, or masked tokens without a token for them.
    """
    from .model_sizes import described, shape_of
    from .models import load_config, load_model
    from .trainee import LiveTeacher, Trainee

    needs = plugins.needs(losses)
    shown = needs & live
    teacher = (
        LiveTeacher(load_model(task.auto_class(), teachers[0], None, head_required=True), shown) if shown else None
    )
    own = described(student)
    given = shape_of(load_config(teachers[0], None)) if len(teachers) == 1 else None
    terms = [plugins.loss(loss.kind).build(loss, own, given) for loss in losses]
    masking = _masking(data, own.vocabulary) if "masked" in needs else None
    return Trainee(student, task, terms, needs, teacher, masking)


def _masking(data: PreparedData, vocabulary: int) -> Masking:
    from .models import load_tokenizer
    from .trainee import Masking

    tokenizer = load_tokenizer(data.tokenizer)
    if tokenizer.mask_token_id is None:
        raise UserError("masked_lm hides tokens behind a mask token, and the teacher's tokenizer has none")
    return Masking(tokenizer.mask_token_id, vocabulary, tuple(tokenizer.all_special_ids))
