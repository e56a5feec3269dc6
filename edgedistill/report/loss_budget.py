"""The loss budget: what each hop cost, from the teacher over the rounds to the file that is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Integers
from edgedistill.contracts import registry
from edgedistill.contracts.metric import signed
from edgedistill.evaluation.hops import OnTest, change
from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.evaluation.results_losses import FlippedText, HopKind, HopResult, LossBudgetResult
from edgedistill.exporting.candidates import Candidate, native_candidates

if TYPE_CHECKING:
    from edgedistill.contracts.answers import Answers
    from edgedistill.evaluation.figures import Judging
    from edgedistill.report.run_files import Questions, RunFiles

TEXTS = 10
"""Flipped texts to keep of each kind and hop."""


def loss_budget(
    files: RunFiles, judging: Judging, measured: Sequence[CandidateResult], chosen: str | None
) -> LossBudgetResult | None:
    """Of the chosen candidate, otherwise of the one with the best validation metric; None without candidates.

    All hops are on the recipe's test set, paired by example, so their drops add up to the whole one.
    """
    if not measured:
        return None
    direction = judging.primary.direction
    best = max(measured, key=lambda candidate: (candidate.id == chosen, signed(candidate.validation.value, direction)))
    rows = [row for row in native_candidates(files.settings.candidates) if files.failure(row) is None]
    row = next(row for row in rows if row.id == best.id)
    models = ["teacher"]
    if row.model != "teacher":
        models += files.rounds_on_recipe_data[: files.rounds_on_recipe_data.index(row.model) + 1]
    path = files_on_the_way(row, rows, registry.target(row.target).runtimes[0])
    rounds: list[HopKind] = ["round"]
    kinds = rounds * (len(models) - 1) + [kind for kind, _ in path]
    stations = [_tested(files, model, model, files.answers(model, "test")) for model in models]
    stations += [_tested(files, other.model, "/".join(other.verify_key), _of(files, other)) for _, other in path]
    asked = files.questions("test", row.model)
    return LossBudgetResult(
        candidate=row.id,
        start=judging.figures(stations[0].answers, stations[0].references, "test")[0],
        hops=tuple(
            _hop(kind, before, after, files, judging)
            for kind, (before, after) in zip(kinds, pairwise(stations), strict=True)
        ),
        drop=judging.gain(stations[0].answers, stations[-1].answers, stations[0].references, "test", asked.references),
    )


def files_on_the_way(row: Candidate, rows: Sequence[Candidate], default: str) -> list[tuple[HopKind, Candidate]]:
    """The measured files between a PyTorch model and one of its candidates, which is the last: the fp32 file, the
    file's precision, and another runtime than the target's default one.

    Args:
        rows: those that were measured.
        default: the target's default runtime.
    """
    known = {other.verify_key: other for other in rows}
    file = row.verify_key
    runtime = default if file._replace(runtime=default) in known else row.runtime
    fp32 = known.get(file._replace(precision="fp32", runtime=runtime))
    found: list[tuple[HopKind, Candidate]] = []
    if fp32 is None:
        found.append(("export and precision", known[file._replace(runtime=runtime)]))
    else:
        found.append(("export", fp32))
        if row.precision != "fp32":
            found.append(("precision", known[file._replace(runtime=runtime)]))
    if row.runtime != runtime:
        found.append(("runtime", row))
    return found


def _of(files: RunFiles, row: Candidate) -> Answers:
    return files.file_answers(row, "test")


def _tested(files: RunFiles, model: str, name: str, answers: Answers) -> OnTest:
    decisions = "teacher" if files.decides_as_teacher(model) else model
    return OnTest(name, answers, files.questions("test", model).references, decisions)


def _hop(kind: HopKind, before: OnTest, after: OnTest, files: RunFiles, judging: Judging) -> HopResult:
    found = change(judging, before, after)
    questions = files.questions("test", after.name.split("/")[0])
    return HopResult(
        kind=kind,
        before=before.name,
        after=after.name,
        figure=judging.figures(after.answers, after.references, "test")[0],
        drop=found.drop,
        agreement=found.agreement,
        lost=None if found.lost is None else len(found.lost),
        won=None if found.won is None else len(found.won),
        lost_texts=_texts(found.lost, before, after, questions, judging),
        won_texts=_texts(found.won, before, after, questions, judging),
    )


def _texts(
    places: Integers | None, before: OnTest, after: OnTest, questions: Questions, judging: Judging
) -> tuple[FlippedText, ...]:
    """The first of these decisions as text; none for a task with too many decisions."""
    judge = judging.judge
    if places is None or not judge.lists_flips:
        return ()
    places = np.asarray(places[:TEXTS])
    right = judge.texts(after.references.where(places), questions.labels)
    was, is_ = (judge.texts(model.answers.where(places), questions.labels) for model in (before, after))
    examples = after.answers.example[places]
    return tuple(
        FlippedText(text=questions.show(int(example)), reference=reference, before=old, after=new)
        for example, reference, old, new in zip(examples, right, was, is_, strict=True)
    )
