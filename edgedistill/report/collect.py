"""Collects every figure of a run from its artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedistill.evaluation.by_size import by_size
from edgedistill.evaluation.chance import against_chance
from edgedistill.evaluation.figures import Judging
from edgedistill.evaluation.results import RESULTS_SCHEMA, DataResult, Results, StopResult
from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.evaluation.results_losses import Flip
from edgedistill.exporting.candidates import native_candidates
from edgedistill.recipe.schema import teacher_of
from edgedistill.report.devices import HOST, candidate_result
from edgedistill.report.estimates import compared
from edgedistill.report.generations import generations
from edgedistill.report.loss_budget import loss_budget
from edgedistill.report.models import changes_of, error_texts, round_result, teacher_result
from edgedistill.report.warnings import candidate_warnings, chance_warnings, warnings
from edgedistill.version import __version__

if TYPE_CHECKING:
    from edgedistill.contracts.answers import Answers, References
    from edgedistill.evaluation.chance import AgainstChance
    from edgedistill.evaluation.error_changes import ErrorChanges
    from edgedistill.report.run_files import RunFiles


def collect(files: RunFiles) -> Results:
    """The results of a run."""
    settings = files.settings
    judging = Judging(files.judge, settings.task.metrics)
    changes = _changes(files)
    rounds = tuple(round_result(round_, files, judging, changes.get(round_.id)) for round_ in settings.rounds)
    candidates = tuple(candidate_result(row, files, judging) for row in settings.candidates)
    measured = [candidate for candidate in candidates if isinstance(candidate, CandidateResult)]
    hosts = {HOST: files.host}
    repeated = {
        f"{earlier}/{split}": count
        for split, facts in files.split_facts.items()
        for earlier, count in facts.duplicate_counts.items()
    }
    chosen, why = files.chosen
    return Results(
        schema_=RESULTS_SCHEMA,
        recipe=settings.recipe,
        edgedistill=__version__,
        metric=judging.metric,
        direction=judging.primary.direction,
        teacher=teacher_result(files, judging),
        rounds=rounds,
        candidates=candidates,
        chosen=chosen,
        why=why,
        prompt_tokens=files.prompt_tokens,
        stop=_stop(files),
        warnings=(
            *chance_warnings(_against_chance(files)),
            *warnings(rounds, repeated, files, judging),
            *candidate_warnings(candidates, hosts, files.judge),
        ),
        loss_budget=loss_budget(files, judging, measured, chosen),
        flips=_flips(files),
        by_size=by_size(judging, _on_test(files), "test"),
        generations=generations(files),
        estimates=compared(settings.estimates, candidates),
        decision=files.judge.decision,
        divergence=files.judge.divergence,
        check_words=dict(files.judge.check_words),
        errors={
            round_.id: error_texts(round_, changes[round_.id], files)
            for round_ in settings.rounds
            if round_.id in changes
        },
        data=DataResult(
            task=settings.task.type,
            options=settings.task.options,
            examples={split: facts.rows for split, facts in files.split_facts.items()},
            duplicate_counts=repeated,
            labels=len(files.questions("test").labels),
            test_sha256=files.split_facts["test"].sha256,
        ),
        hosts=hosts,
    )


def _on_test(files: RunFiles) -> dict[str, tuple[Answers, References]]:
    """Answers of the PyTorch models on the recipe's data and of all files, and the references in their tokens."""
    models = ("teacher", *files.rounds_on_recipe_data)
    found = {model: (files.answers(model, "test"), files.questions("test", model).references) for model in models}
    rows = {row.verify_key: row for row in native_candidates(files.settings.candidates) if files.failure(row) is None}
    for row in rows.values():
        asked = files.questions("test", row.model).references
        found["/".join(row.verify_key)] = (files.file_answers(row, "test"), asked)
    return found


def _changes(files: RunFiles) -> dict[str, ErrorChanges]:
    """Error changes of every round relative to the previous model; with its own data, relative to its teacher."""
    found, before = {}, "teacher"
    for round_ in files.settings.rounds:
        changes = changes_of(round_, before if round_.data is None else teacher_of(round_), files)
        if changes is not None:
            found[round_.id] = changes
        before = round_.id if round_.data is None else before
    return found


def _against_chance(files: RunFiles) -> dict[str, AgainstChance]:
    """Test figures of the teacher and every student."""
    metric = files.settings.task.metric
    models = ["teacher", *(round_.id for round_ in files.settings.rounds)]
    asked = {model: files.questions("test", model).references for model in models}
    return {
        model: against_chance(metric, files.judge, files.answers(model, "test"), references)
        for model, references in asked.items()
    }


def _flips(files: RunFiles) -> dict[str, tuple[Flip, ...]]:
    return {
        row.id: tuple(Flip.model_validate(flip.model_dump()) for flip in files.verified(row).flips)
        for row in files.settings.candidates
        if files.judge.lists_flips and not row.emulated and files.failure(row) is None
    }


def _stop(files: RunFiles) -> StopResult | None:
    """Where the rounds ended and why; None without a stopping rule."""
    judgements = files.judgements
    if not judgements:
        return None
    last = judgements[-1]
    ending = "" if last.stop else f"all {len(judgements)} rounds ran; "
    return StopResult(round=last.round, early=last.stop, reason=f"{ending}{last.reason}", judgements=judgements)
