"""Plans a trial of every model before anything is trained.

A probe is not an input of training: training reads nothing from it, and as an input it would make every model depend on
the losses and students of unrelated rounds. The order of the plan is enough: the engine runs it from the top, and a
failing probe ends the run.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgedistill.planning.draft import Draft
from edgedistill.recipe.round_spec import Round, Stage
from edgedistill.recipe.schema import Recipe, source_of, teacher_of
from edgedistill.recipe.teacher_spec import Schedule
from edgedistill.steps.kinds import probe_model
from edgedistill.steps.kinds.probe_model import ProbedModel


def plan_probes(draft: Draft) -> None:
    """Probes of the teacher and then of every round."""
    teacher = ProbedModel(id="teacher", tuned=draft.recipe.teacher.fine_tune is not None)
    _add(draft, "teacher", (teacher,), ())
    for round_ in draft.recipe.rounds:
        taught = (teacher_of(round_),) if round_.data is not None else round_.teachers()
        needed = {model.id: model for name in (*taught, round_.id) for model in _made_of(draft.recipe, name)}
        own = needed.pop(round_.id)
        _add(draft, round_.id, (*needed.values(), own), tuple(dict.fromkeys(taught)), round_.stages)


def _made_of(recipe: Recipe, name: str) -> Iterator[ProbedModel]:
    """A model preceded by all models it is derived from."""
    round_: Round | None = next((one for one in recipe.rounds if one.id == name), None)
    if round_ is None:
        own = name != "teacher"
        yield ProbedModel(id=name, tuned=own or recipe.teacher.fine_tune is not None)
        return
    source = source_of(round_.student)
    if source == "teacher":
        source = teacher_of(round_)
    if source is not None:
        yield from _made_of(recipe, source)
    yield ProbedModel(id=name, student=round_.student, source=source)


def _add(
    draft: Draft,
    name: str,
    models: tuple[ProbedModel, ...],
    teachers: tuple[str, ...],
    stages: tuple[Stage, ...] = (),
) -> None:
    recipe = draft.recipe
    teacher = recipe.teacher.model_copy(update={"fine_tune": Schedule()})  # whether it is fine-tuned is in the models
    settings = probe_model.Settings(
        task=recipe.task.type,
        teacher=teacher,
        models=models,
        teachers=teachers,
        stages=tuple(stage.losses for stage in stages),
        quantized=tuple(dict.fromkeys(stage.quantize for stage in stages if stage.quantize is not None)),
    )
    inputs = probe_model.Inputs({model.id: draft.data[model.id].base for model in models})
    student = models[-1].student
    what = "the teacher" if student is None else f"a {student.init} student"
    shown = f"try {what} on a few inputs before training: forward, backward, save and load"
    draft.steps.add(f"probe-{name}", probe_model.KIND, settings, inputs, shown)
