"""Collects every figure of a run from its artifacts; accuracies are on test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import __version__, plugins
from edgedistill.artifacts import Failure
from edgedistill.candidates import Candidate, timed
from edgedistill.chance import against_chance
from edgedistill.clients import loads_in
from edgedistill.data import PreparedData
from edgedistill.error_changes import ErrorChanges, error_changes
from edgedistill.model_files import read_files
from edgedistill.recipe import teacher_of
from edgedistill.results import (
    RESULTS_SCHEMA,
    CandidateResult,
    ElsewhereResult,
    EmulatedResult,
    ErrorText,
    Results,
    RoundResult,
    SeedResult,
    TeacherResult,
    UnmeasuredResult,
)
from edgedistill.signals import load_rows
from edgedistill.statistics import (
    auroc,
    auroc_interval,
    calibration_error,
    compare,
    log_softmax,
    metric_interval,
)
from edgedistill.steps.kinds.report import Inputs, Settings
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.records.files import VerifyId

from .warnings import candidate_warnings, chance_warnings, warnings

if TYPE_CHECKING:
    from edgedistill.arrays import Floats, Integers
    from edgedistill.interfaces import Metric
    from edgedistill.recipe import Round
    from edgedistill.select import Choice

ERRORS_SHOWN = 20
"""Texts of each kind of error and round that are kept."""


def collect(settings: Settings, inputs: Inputs) -> Results:
    """The results of a run."""
    test = TestSet(settings, inputs, inputs.data, settings.ood)
    tests = {
        each.id: test if each.data is None else TestSet(settings, inputs, inputs.own_data[each.id])
        for each in settings.rounds
    }
    choice = inputs.chosen.record.choice
    data = PreparedData.of(inputs.data)
    splits = {split: data.split_facts(split) for split in ("train", *data.splits)}
    repeated = {
        f"{earlier}/{split}": count
        for split, facts in splits.items()
        for earlier, count in facts.duplicate_counts.items()
    }
    changes, before = {}, "teacher"
    for each in settings.rounds:
        own, teacher = tests[each.id], teacher_of(each)
        earlier = before if each.data is None else teacher
        changes[each.id] = error_changes(own.model(earlier), own.model(each.id), own.model(teacher), own.labels)
        before = each.id if each.data is None else before
    found = tuple(_round(each, settings, inputs, tests[each.id], changes[each.id]) for each in settings.rounds)
    flips = {
        row.id: [flip.model_dump() for flip in inputs.verified[row.verify_key].record.flips]
        for row in settings.candidates
        if not row.emulated and _failure(row, inputs) is None
    }
    measured = tuple(_candidate(row, settings, inputs, test, choice) for row in settings.candidates)
    environment = inputs.measured.record.environment
    known = {"teacher": against_chance(test.model("teacher"), test.labels)}
    known |= {each.id: against_chance(tests[each.id].model(each.id), tests[each.id].labels) for each in settings.rounds}
    return Results.model_validate(
        {
            "schema": RESULTS_SCHEMA,
            "recipe": settings.recipe,
            "edgedistill": __version__,
            "metric": settings.task.metric,
            "teacher": _teacher(inputs, test),
            "rounds": found,
            "candidates": measured,
            "chosen": choice.chosen,
            "why": choice.why,
            "stop": _stop(settings, inputs),
            "warnings": (
                *chance_warnings(known),
                *warnings(found, repeated, settings, inputs),
                *candidate_warnings(measured, environment),
            ),
            "flips": flips,
            "errors": {each.id: tests[each.id].texts(changes[each.id], each) for each in settings.rounds},
            "data": {
                "task": settings.task.type,
                "rows": {split: facts.rows for split, facts in splits.items()},
                "duplicate_counts": repeated,
                "labels": len(data.labels),
                "test_sha256": splits["test"].sha256,
            },
            "environment": dict(environment),
        }
    )


class TestSet:
    """A test set's labels and texts, and every model's decisions on it: the recipe's, or a round's own."""

    __test__ = False  # not one of pytest's

    def __init__(self, settings: Settings, inputs: Inputs, data: DataInputs, ood: Sequence[str] = ()) -> None:
        from edgedistill.inference import references

        self._inputs = inputs
        self._task = plugins.task(settings.task.type)
        self._data = PreparedData.of(data)
        self.metric: Metric = self._task.METRICS[settings.task.metric]
        labels = references(self._task, self._data.tokens("test"))
        self.kept = labels != -100
        self.labels: Integers = labels[self.kept]
        self._elsewhere: dict[str, Integers] = {}
        if inputs.elsewhere is not None:
            sets = PreparedData.of(DataInputs(inputs.elsewhere))
            self._elsewhere = {name: references(self._task, sets.tokens(name)) for name in ood}

    def model(self, name: str) -> Integers:
        """Decisions of a torch model."""
        return self._decisions(self._answers(name))

    def generalisation(self, name: str) -> dict[str, object]:
        """Calibration on test, and all figures on the sets from elsewhere."""
        artifact = self._inputs.tested[name]
        logits = np.asarray(load_rows(self._answers(name)).values)[self.kept]
        sets: dict[str, ElsewhereResult] = {}
        for each, labels in self._elsewhere.items():
            asked = np.asarray(load_rows(artifact.path(artifact.record.ood[each])).values)
            sets[each] = elsewhere(self.metric, logits, asked, labels)
        return {"calibration_error": calibration_error(logits, self.labels), "elsewhere": sets}

    def file(self, verify_key: VerifyId) -> Integers:
        """Decisions of a device file."""
        return self._decisions(_file_answers(self._inputs, verify_key))

    def beside(self, whole: Path, some: Path, items: Integers) -> tuple[float, float]:
        """The metric of a file that answered all items, on these items only, and the share of their rows that it
        answers as the one does that answered only these."""
        from edgedistill.inference import references

        decided = np.asarray(load_rows(whole).take(items).values).argmax(axis=1)
        others = np.asarray(load_rows(some).values).argmax(axis=1)
        labels = references(self._task, self._data.tokens("test").take(items))
        kept = labels != -100
        return self.metric.score(decided[kept], labels[kept]), float((decided == others).mean())

    def accuracy(self, decisions: Integers) -> tuple[float, tuple[float, float]]:
        """The metric and its interval."""
        interval = metric_interval(self.metric, decisions, self.labels)
        return self.metric.score(decisions, self.labels), (interval.low, interval.high)

    def texts(self, changes: ErrorChanges, each: Round) -> dict[str, list[ErrorText]]:
        """The first items of each kind of error of a round, as a person reads them."""
        own, teacher, names = self.model(each.id), self.model(teacher_of(each)), self._data.labels
        rows = self._data.rows("test")
        offsets = load_rows(self._answers(each.id)).offsets
        item_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[self.kept]
        return {
            kind: [
                ErrorText(
                    text=self._task.show(rows[int(item_of[row])], self._data.columns),
                    reference=names[self.labels[row]],
                    teacher=names[teacher[row]],
                    model=names[own[row]],
                )
                for row in getattr(changes, kind)[:ERRORS_SHOWN]
            ]
            for kind in ("corrected", "introduced", "inherited")
        }

    def _answers(self, name: str) -> Path:
        artifact = self._inputs.tested[name]
        return artifact.path(artifact.record.answers)

    def _decisions(self, file: Path) -> Integers:
        decisions: Integers = np.asarray(load_rows(file).values).argmax(axis=1)[self.kept]
        return decisions


def _file_answers(inputs: Inputs, key: VerifyId) -> Path:
    """What files under a runtime answered to the test set."""
    return inputs.measured.path(inputs.measured.record.answers[str(key)])


def _teacher(inputs: Inputs, test: TestSet) -> TeacherResult:
    training = inputs.models["teacher"].record
    accuracy, interval = test.accuracy(test.model("teacher"))
    return TeacherResult.model_validate(
        {
            "parameters": training.parameters,
            "accuracy": accuracy,
            "accuracy_ci": interval,
            "validation_accuracy": inputs.evaluated["teacher"].record.accuracy,
            "train_seconds": training.train_seconds,
            **test.generalisation("teacher"),
        }
    )


def elsewhere(metric: Metric, test_logits: Floats, logits: Floats, labels: Integers) -> ElsewhereResult:
    """The figures of one set: labelled items by metric and calibration, the others by how well they stand out."""
    known = labels != -100
    found = ElsewhereResult(items=len(labels), out_of_scope=int((~known).sum()))
    change: dict[str, object] = {}
    if known.any():
        decisions = logits[known].argmax(axis=1)
        interval = metric_interval(metric, decisions, labels[known])
        change |= {
            "accuracy": metric.score(decisions, labels[known]),
            "accuracy_ci": (interval.low, interval.high),
            "calibration_error": calibration_error(logits[known], labels[known]),
        }
    if not known.all():
        inside, outside = (log_softmax(each).max(axis=1) for each in (test_logits, logits[~known]))
        interval = auroc_interval(inside, outside)
        change |= {"auroc": auroc(inside, outside), "auroc_ci": (interval.low, interval.high)}
    return found.model_copy(update=change)


def _round(each: Round, settings: Settings, inputs: Inputs, test: TestSet, changes: ErrorChanges) -> RoundResult:
    model = inputs.models[each.id]
    training = model.record
    own, teacher = test.model(each.id), test.model(teacher_of(each))
    accuracy, interval = test.accuracy(own)
    drop = compare(test.metric, teacher, own, test.labels)
    trials: list[dict[str, object]] = []
    taught = " + ".join(each.teachers()) if each.data is None else teacher_of(each)
    if each.id in inputs.choices:
        choice = inputs.choices[each.id].record
        taught, trials = " + ".join(choice.chosen), [trial.model_dump(mode="json") for trial in choice.trials]
    facts: dict[str, object] = {
        "id": each.id,
        "teacher": taught,
        "teacher_trials": trials,
        "student": each.student.init,
        "parameters": training.parameters,
        "accuracy": accuracy,
        "accuracy_ci": interval,
        "validation_accuracy": inputs.evaluated[each.id].record.accuracy,
        "drop_from_teacher": drop.difference,
        "drop_from_teacher_ci": (drop.interval.low, drop.interval.high),
        "agreement_with_teacher": float((own == teacher).mean()),
        "train_seconds": training.train_seconds,
        "samples_per_second": training.samples_per_second,
        "loads_in": loads_in(model.path(training.model)),
        "errors": {name: len(getattr(changes, name)) for name in ("corrected", "introduced", "inherited")},
        "seeds": _seeds(each, settings.seeds, inputs, test),
        **test.generalisation(each.id),
    }
    if each.data is not None:
        facts["own_teacher_accuracy"], facts["own_teacher_accuracy_ci"] = test.accuracy(teacher)
    if f"{each.id}-control" in inputs.tested:
        control = test.model(f"{each.id}-control")
        gain = compare(test.metric, own, control, test.labels)
        facts |= {
            "control_accuracy": test.accuracy(control)[0],
            "gain_over_control": gain.difference,
            "gain_over_control_ci": (gain.interval.low, gain.interval.high),
            "gain_over_control_p": gain.p,
        }
    return RoundResult.model_validate(facts)


def _seeds(each: Round, seeds: Sequence[int], inputs: Inputs, test: TestSet) -> list[SeedResult]:
    """The round's repetitions, the first included; none when there is only that one."""
    if len(seeds) == 1:
        return []
    found = []
    for i, seed in enumerate(seeds):
        suffix = f"-seed{seed}" if i else ""
        accuracy, _ = test.accuracy(test.model(f"{each.id}{suffix}"))
        control = f"{each.id}-control{suffix}"
        there = control in inputs.tested
        found.append(
            SeedResult(
                seed=seed,
                accuracy=accuracy,
                control_accuracy=test.accuracy(test.model(control))[0] if there else None,
            )
        )
    return found


def _failure(row: Candidate, inputs: Inputs) -> Failure | None:
    """Why a candidate has no figures; None when it has."""
    if row.refused is not None:
        return Failure(row.refused, "refused")
    if row.emulated:
        return inputs.emulated[row.verify_key].failure
    return inputs.verified[row.verify_key].failure or inputs.measured.published.manifest.failures.get(row.id)


def _candidate(
    row: Candidate, settings: Settings, inputs: Inputs, test: TestSet, choice: Choice
) -> CandidateResult | EmulatedResult | UnmeasuredResult:
    identity = row.model_dump(exclude={"refused", "emulated"})
    if (failure := _failure(row, inputs)) is not None:
        return UnmeasuredResult(**identity, state=failure.state, reason=failure.reason)
    if row.emulated:
        return _emulated(row, settings, inputs, test)
    verified, seen = inputs.verified[row.verify_key].record, inputs.measured.record.candidates[row.id]
    verdict = next(each for each in choice.verdicts if each.id == row.id)
    teacher = inputs.evaluated["teacher"].record.accuracy
    accuracy, interval = test.accuracy(test.file(row.verify_key))
    files = read_files(inputs.files[row.file_key])
    place = f"models/{row.round}/{row.target}"
    return CandidateResult.model_validate(
        {
            **identity,
            "file": f"{place}/{list(files.opened.values())[-1].name}",
            "files": [f"{place}/{name}" for name in files.device],
            "lengths": files.lengths,
            "facts": dict(files.facts),
            "runtime_size": files.facts.get("runtime_size"),
            "backend": dict(verified.backend),
            "file_bytes": seen.file_bytes,
            "accuracy": accuracy,
            "accuracy_ci": interval,
            "validation_accuracy": verified.accuracy,
            "accuracy_drop": teacher - verified.accuracy,
            "agreement_with_student": verified.fidelity.agreement,
            "agreement_batched": verified.agreement_batched,
            "validation_accuracy_batched": verified.accuracy_batched,
            "max_abs_diff": verified.fidelity.max_abs_diff,
            "mean_abs_diff": verified.fidelity.mean_abs_diff,
            "mean_kl": verified.fidelity.mean_kl,
            "latency_ms": seen.latency_ms.model_dump(),
            "throughput_per_s": seen.throughput_per_s,
            "peak_rss_mb": seen.peak_rss_mb,
            "load_ms": seen.load_ms,
            "within_limits": verdict.within_limits,
            "blocked_by": verdict.blocked_by,
            "on_pareto_front": verdict.on_pareto_front,
        }
    )


def _emulated(row: Candidate, settings: Settings, inputs: Inputs, test: TestSet) -> EmulatedResult:
    artifact = inputs.emulated[row.verify_key]
    found = artifact.record
    facts = found.model_dump(exclude={"validation", "test", "validation_numbers", "test_numbers"})
    same_file = [each for each in timed(settings.candidates) if each.file_key == row.file_key]
    here = next((each for each in same_file if _failure(each, inputs) is None), None)
    if here is not None:
        whole, some = _file_answers(inputs, here.verify_key), artifact.path(found.test)
        items = np.array(found.test_numbers, dtype=np.int64)
        facts["accuracy_here"], facts["agreement_with_here"] = test.beside(whole, some, items)
    return EmulatedResult.model_validate(
        {
            **row.model_dump(include={"id", "round", "target", "precision", "runtime"}),
            "file_bytes": read_files(inputs.files[row.file_key]).bytes,
            "items": len(found.validation_numbers),
            "test_items": len(found.test_numbers),
            **facts,
        }
    )


def _stop(settings: Settings, inputs: Inputs) -> dict[str, object] | None:
    """Where the rounds ended and why; None without a stop rule."""
    judged = [each.id for each in settings.rounds if each.id in inputs.judged]
    if not judged:
        return None
    last = judged[-1]
    judgements = [inputs.judged[name].record.judgement for name in judged]
    early = judgements[-1].stop
    ending = "" if early else f"all {len(judgements)} rounds ran; "
    reason = f"{ending}{judgements[-1].reason}"
    return {"round": last, "early": early, "reason": reason, "judgements": [asdict(each) for each in judgements]}
