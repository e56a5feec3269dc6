"""Results of the teacher and of every round's student in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.evaluation.error_changes import ErrorChanges, error_changes
from edgedistill.evaluation.results import ErrorText
from edgedistill.evaluation.results_figures import Estimate, Figure, OodResult
from edgedistill.evaluation.results_models import ErrorCounts, RoundResult, SeedResult, TeacherResult
from edgedistill.evaluation.statistics import auroc, auroc_interval
from edgedistill.models.clients import loads_in
from edgedistill.recipe.schema import teacher_of

if TYPE_CHECKING:
    from edgedistill.contracts.answers import Answers, References
    from edgedistill.contracts.judge import Confidence
    from edgedistill.evaluation.figures import Judging
    from edgedistill.recipe.round_spec import Round
    from edgedistill.report.run_files import Questions, RunFiles

ERRORS_SHOWN = 20
"""Number of texts to keep per kind of error and round."""
_KINDS = ("corrected", "introduced", "inherited")


def teacher_result(files: RunFiles, judging: Judging) -> TeacherResult:
    """The teacher."""
    training = files.training("teacher")
    ood = {name: _ood(files, judging, "teacher", name) for name in files.settings.ood}
    return TeacherResult(
        figures=_figures(files, judging, "teacher", None),
        parameters=training.parameters,
        train_seconds=training.train_seconds,
        calibration_error=_calibration_error(files, "teacher", files.questions("test")),
        ood=ood,
    )


def round_result(round_: Round, files: RunFiles, judging: Judging, changes: ErrorChanges | None) -> RoundResult:
    """A round's student with its teacher and control, on the recipe's data or the round's own."""
    own_data = None if round_.data is None else round_.id
    test, training = files.questions("test", round_.id), files.training(round_.id)
    of_teacher = files.questions("test", own_data).references
    own, teacher = files.answers(round_.id, "test"), files.answers(teacher_of(round_), "test")
    choice = files.teacher_choice(round_.id)
    taught = choice[0] if choice else round_.teachers() if round_.data is None else (teacher_of(round_),)
    control = f"{round_.id}-control"
    without = files.answers(control, "test") if files.was_evaluated(control) else None
    return RoundResult(
        id=round_.id,
        teacher=" + ".join(taught),
        teacher_trials=choice[1] if choice else (),
        student=round_.student.init,
        parameters=training.parameters,
        figures=_figures(files, judging, round_.id, round_.id),
        drop=judging.gain(teacher, own, of_teacher, "test", test.references),
        control=None if without is None else judging.figures(without, test.references, "test")[0],
        gain=None if without is None else judging.gain(own, without, test.references, "test"),
        own_teacher=None if own_data is None else judging.figures(teacher, test.references, "test")[0],
        agreement_with_teacher=_agreement(judging, teacher, own, test.references)
        if files.decides_as_teacher(round_.id)
        else None,
        train_seconds=training.train_seconds,
        samples_per_second=training.samples_per_second,
        calibration_error=_calibration_error(files, round_.id, test),
        ood={} if own_data else {name: _ood(files, judging, round_.id, name) for name in files.settings.ood},
        errors=None if changes is None else ErrorCounts(**{kind: len(getattr(changes, kind)) for kind in _KINDS}),
        loads_in=loads_in(files.model_folder(round_.id)),
        seeds=_seeds(round_, files, judging, test.references),
    )


def changes_of(round_: Round, before: str, files: RunFiles) -> ErrorChanges | None:
    """Errors that a round corrected, introduced and inherited; None for a task without correct answers.

    Args:
        before: the previous model in the run.
    """
    judge, test = files.judge, files.questions("test", None if round_.data is None else round_.id)
    if judge.right is None:
        return None
    earlier, own, teacher = (files.answers(name, "test") for name in (before, round_.id, teacher_of(round_)))
    references = test.references
    return error_changes(
        known=references.known,
        before=judge.right(earlier, references),
        now=judge.right(own, references),
        as_teacher=judge.fidelity(teacher, own).agree,
    )


def error_texts(round_: Round, changes: ErrorChanges, files: RunFiles) -> dict[str, tuple[ErrorText, ...]]:
    """The first errors of each kind in a round, as readable text."""
    test = files.questions("test", None if round_.data is None else round_.id)

    def said(answers: Answers, decision: int) -> str:
        return files.judge.texts(answers.where(np.array([decision])), test.labels)[0]

    own, teacher = files.answers(round_.id, "test"), files.answers(teacher_of(round_), "test")
    return {
        kind: tuple(
            ErrorText(
                text=test.show(int(own.example[decision])),
                reference=said(test.references, decision),
                teacher=said(teacher, decision),
                model=said(own, decision),
            )
            for decision in getattr(changes, kind)[:ERRORS_SHOWN]
        )
        for kind in _KINDS
    }


def ood_result(
    judging: Judging,
    confidence: Confidence | None,
    inside: tuple[Answers, References],
    outside: tuple[Answers, References],
    name: str,
) -> OodResult:
    """The figures of one out-of-distribution set: metric and calibration of labelled decisions, and AUROC of the others
    against test.

    Args:
        inside: answers and references of test.
        outside: answers and references of the set.
    """
    answers, references = outside
    known = references.known
    examples = np.unique(references.example)
    facts = OodResult(examples=len(examples), out_of_scope=len(examples) - len(references.examples))
    change: dict[str, object] = {}
    if known.any():
        change["figures"] = judging.figures(answers, references, name)
        change["calibration_error"] = confidence.calibration_error(answers, references) if confidence else None
    if confidence is not None and not known.all():
        of_test, kept = confidence.of(inside[0]), inside[1].known
        scores = of_test[kept], confidence.of(answers)[~known]
        interval = auroc_interval(*scores)
        change["auroc"] = Estimate(value=auroc(*scores), low=interval.low, high=interval.high)
    return facts.model_copy(update=change)


def _ood(files: RunFiles, judging: Judging, model: str, name: str) -> OodResult:
    inside = files.answers(model, "test"), files.questions("test").references
    outside = files.answers(model, name), files.ood_references(name)
    return ood_result(judging, files.judge.confidence, inside, outside, name)


def _figures(files: RunFiles, judging: Judging, model: str, round_id: str | None) -> tuple[Figure, ...]:
    return tuple(
        figure
        for split in ("test", "validation")
        for figure in judging.figures(files.answers(model, split), files.questions(split, round_id).references, split)
    )


def _calibration_error(files: RunFiles, model: str, test: Questions) -> float | None:
    confidence = files.judge.confidence
    return confidence.calibration_error(files.answers(model, "test"), test.references) if confidence else None


def _agreement(judging: Judging, teacher: Answers, own: Answers, references: References) -> float:
    return float(judging.judge.fidelity(teacher, own).agree[references.known].mean())


def _seeds(round_: Round, files: RunFiles, judging: Judging, references: References) -> tuple[SeedResult, ...]:
    """The round's repetitions including the first; none if there is only one."""
    seeds: Sequence[int] = files.settings.seeds
    suffixes: Mapping[int, str] = {seed: f"-seed{seed}" if number else "" for number, seed in enumerate(seeds)}

    def value(model: str) -> float | None:
        return judging.value(files.answers(model, "test"), references) if files.was_evaluated(model) else None

    return tuple(
        SeedResult(
            seed=seed,
            value=judging.value(files.answers(f"{round_.id}{suffix}", "test"), references),
            control=value(f"{round_.id}-control{suffix}"),
        )
        for seed, suffix in (suffixes.items() if len(seeds) > 1 else ())
    )
