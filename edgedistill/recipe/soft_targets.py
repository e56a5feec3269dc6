"""Possible sources of a round's soft targets: a recording in one of several forms, or the live teacher."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Form
from edgedistill.contracts.loss import LossSpec
from edgedistill.recipe.round_spec import Round, Stage, TeacherChoice, flat
from edgedistill.recipe.schema import Recipe, own_tokenizer

Source = Form | Literal["live"]


def possible_sources(recipe: Recipe, round_: Round) -> list[Source]:
    """The forms that the round's losses, teachers and tokenizers allow.

    Only logits can be averaged over several teachers and compared with labels; only a task with a head can recompute
    logits from states; only a teacher with the student's tokenizer can run live; and classes are sampled at one
    temperature.
    """
    losses = losses_of(round_)
    forms = registry.forms(losses)
    if averaged(round_) or any(looks_for_errors(stage) for stage in round_.stages):
        return ["dense"] if "dense" in forms else []
    same = all(own_tokenizer(recipe, round_.id) == own_tokenizer(recipe, name) for name in round_.teachers())
    with_head = same and registry.task(recipe.task.type).model.head is not None
    found: list[Source] = [form for form in get_args(Form) if form in forms and (with_head or form != "hidden")]
    if len(temperatures(losses)) > 1:
        found = [form for form in found if form != "sampled"]
    return [*found, "live"] if same and forms & {"dense", "hidden"} else found


def losses_of(round_: Round) -> list[LossSpec]:
    """Of all stages."""
    return [loss for stage in round_.stages for loss in stage.losses]


def temperatures(losses: Iterable[LossSpec]) -> tuple[float, ...]:
    """Temperatures at which these losses compare distributions, ascending."""
    found = ((registry.loss(loss.kind).temperature, loss) for loss in losses)
    return tuple(sorted({temperature(loss) for temperature, loss in found if temperature is not None}))


def averaged(round_: Round) -> bool:
    """Whether several teachers are averaged."""
    options = round_.teacher.choose if isinstance(round_.teacher, TeacherChoice) else (round_.teacher,)
    return any(len(flat(option)) > 1 for option in options)


def looks_for_errors(stage: Stage) -> bool:
    """Whether a stage uses the teacher's errors."""
    return stage.teacher_errors != 1 or (stage.errors is not None and stage.errors.against == "teacher")
