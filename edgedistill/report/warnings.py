"""Warnings before the figures, first of all about rounds without a gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.contracts import registry
from edgedistill.contracts.metric import signed
from edgedistill.evaluation.advice import RoundFigures, remedies
from edgedistill.evaluation.chance import AgainstChance
from edgedistill.evaluation.file_checks import shortfalls
from edgedistill.evaluation.results_candidates import CandidateResult, EmulatedResult, UnmeasuredResult
from edgedistill.evaluation.results_hosts import HostResult
from edgedistill.evaluation.results_models import RoundResult
from edgedistill.evaluation.wording import in_words
from edgedistill.measuring.judged import BATCHED
from edgedistill.recipe.schema import teacher_of
from edgedistill.report import formatting as f

if TYPE_CHECKING:
    from edgedistill.contracts.judge import Judge
    from edgedistill.evaluation.figures import Judging
    from edgedistill.recipe.round_spec import Round
    from edgedistill.report.run_files import RunFiles


def warnings(
    rounds: Sequence[RoundResult], repeated_texts: Mapping[str, int], files: RunFiles, judging: Judging
) -> list[str]:
    """Sentences, the most important first.

    Args:
        repeated_texts: number of texts of a split that are also in an earlier one, by `EARLIER/SPLIT`.
    """
    worse, unshown = [], []
    for round_, planned in zip(rounds, files.settings.rounds, strict=True):
        if round_.gain is None or round_.gain.low is None or round_.gain.high is None or round_.gain.low > 0:
            continue
        gain = f"{in_words(judging.metric)} gain {f.difference(round_.gain.value)} "
        gain += f"{f.difference_interval(round_.gain.interval)} on test"
        tried = "; ".join(remedies(_figures(planned, files, judging, round_)))
        advice = f" What to try: {tried}." if tried else ""
        if round_.gain.high < 0:
            worse.append(f"{round_.id} is worse than its control, the same student without a teacher: {gain}.{advice}")
        else:
            unshown.append(
                f"{round_.id} is not significantly better than its control, the same student without a teacher: "
                f"{gain}.{advice}"
            )
    return [*worse, *unshown, *repetition_warnings(repeated_texts, judging.metric)]


def repetition_warnings(repeated_texts: Mapping[str, int], metric: str) -> list[str]:
    """Sentences about texts that are in two splits.

    Args:
        repeated_texts: their number, by `EARLIER/SPLIT`.
    """
    pairs = {tuple(pair.split("/")): count for pair, count in repeated_texts.items() if count}
    return [
        f"{count} texts of {second} are also in {first}: {in_words(metric)} on {second} may be overestimated."
        for (first, second), count in pairs.items()
    ]


def chance_warnings(models: Mapping[str, AgainstChance]) -> list[str]:
    """Sentences about models at chance level.

    Args:
        models: each model's result on its test set, by name.
    """
    return [
        f"{name} is no better than chance: it {found.beside('test')}."
        for name, found in models.items()
        if found.at_chance
    ]


def candidate_warnings(
    rows: Sequence[CandidateResult | EmulatedResult | UnmeasuredResult], hosts: Mapping[str, HostResult], judge: Judge
) -> list[str]:
    """Sentences about measured files: answers that depend on the batch or on how they are computed, texts that are
    tokenized differently, and more threads than cores."""
    measured = [row for row in rows if isinstance(row, CandidateResult)]
    found = []
    low = {_file(row): shares for row in measured if (shares := shortfalls(judge, row.checks))}
    if low:
        lowest_first = sorted(low.items(), key=lambda pair: min(pair[1].values()))
        told = [
            f"{name} {', '.join(f'{words} {share:.4f}' for words, share in shares.items())}"
            for name, shares in lowest_first
        ]
        found.append(
            f"These files answer differently depending on how they are run, while their figures are of whole inputs at "
            f"once: {_first(told)}."
        )
    moved = {
        f"{_file(row)} {row.agreement_with_student:.4f} and {row.agreement_batched:.4f}": None
        for row in measured
        if row.agreement_batched is not None and row.agreement_batched != row.agreement_with_student
    }
    if moved:
        found.append(
            f"These files' answers depend on the rest of the batch: agreement with PyTorch alone and in padded "
            f"batches of {BATCHED}: {_first(list(moved))}."
        )
    reads = {
        f"{_file(row)} {row.texts_read.otherwise} of {row.texts_read.texts} ({', '.join(row.texts_read.shown)})": None
        for row in measured
        if row.texts_read is not None and row.texts_read.otherwise
    }
    if reads:
        found.append(f"These files' tokenizers give different tokens from their model's: {_first(list(reads))}.")
    for name, host in hosts.items():
        own = [row for row in measured if row.host == name]
        crowded = [row.id for row in own if host.threads is not None and row.threads > host.threads]
        if crowded:
            found.append(f"Timed with more threads than the {host.threads} available cores: {_first(crowded)}.")
    return found


def _file(row: CandidateResult) -> str:
    return f"{row.model}/{row.target}/{row.precision}/{row.runtime}"


def _first(names: Sequence[str], most: int = 4) -> str:
    return "; ".join(names[:most]) + (f"; and {len(names) - most} more" if len(names) > most else "")


def _figures(round_: Round, files: RunFiles, judging: Judging, found: RoundResult) -> RoundFigures:
    """Facts about a round without a gain."""
    last = [epoch.metric for epoch in files.training(round_.id).last_stage]
    losses = [loss for stage in round_.stages for loss in stage.losses]
    temperatures = [registry.loss(loss.kind).temperature for loss in losses]
    known = (of(loss) for of, loss in zip(temperatures, losses, strict=True) if of is not None)
    temperature = next(known, None)
    teachers = round_.teachers() if round_.data is None else (teacher_of(round_),)
    logits = [said for teacher in teachers if (said := files.teacher_logits(teacher)) is not None]

    def on_validation(model: str, tokens: str) -> float:
        return judging.value(files.answers(model, "validation"), files.questions("validation", tokens).references)

    def of_teacher(model: str) -> float:
        return on_validation(model, model if round_.data is None else round_.id)

    low, high = found.validation.interval or (0.0, 0.0)
    metric = judging.primary
    return RoundFigures(
        metric=metric,
        teacher_metric=max(map(of_teacher, teachers), key=lambda value: signed(value, metric.direction)),
        control_metric=on_validation(f"{round_.id}-control", round_.id),
        temperature=temperature,
        teacher_logits=np.mean(logits, axis=0) if logits else None,
        metrics=last,
        noise=(high - low) / 2,
    )
