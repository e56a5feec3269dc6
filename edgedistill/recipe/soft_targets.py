"""Where the soft targets of a round can come from: a recording in one of several forms, or its teacher, live."""

from __future__ import annotations

from typing import Literal, get_args

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Form
from edgedistill.recipe.schema import Recipe, Round, Stage, TeacherChoice, flat, own_tokenizer

Source = Form | Literal["live"]


def possible_sources(recipe: Recipe, round_: Round) -> list[Source]:
    """What the round's losses, teachers and tokens leave.

    Only logits can be averaged over several teachers, and searched for their errors; only a head over states makes
    logits of states; and only what a teacher reads in the student's own tokens can it answer live.
    """
    forms = registry.forms(loss for stage in round_.stages for loss in stage.losses)
    if averaged(round_) or any(looks_for_errors(stage) for stage in round_.stages):
        return ["dense"] if "dense" in forms else []
    same = all(own_tokenizer(recipe, round_.id) == own_tokenizer(recipe, name) for name in round_.teachers())
    with_head = same and registry.task(recipe.task.type).model.head is not None
    found: list[Source] = [form for form in get_args(Form) if form in forms and (with_head or form != "hidden")]
    return [*found, "live"] if same and forms & {"dense", "hidden"} else found


def averaged(round_: Round) -> bool:
    """Whether several teachers are averaged."""
    options = round_.teacher.choose if isinstance(round_.teacher, TeacherChoice) else (round_.teacher,)
    return any(len(flat(option)) > 1 for option in options)


def looks_for_errors(stage: Stage) -> bool:
    """Whether a stage looks for the teacher's errors."""
    return stage.teacher_errors != 1 or (stage.errors is not None and stage.errors.against == "teacher")
