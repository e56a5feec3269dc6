"""Collects every figure of a run from its artifacts; accuracies are on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import __version__, plugins
from edgedistill.artifacts import Failure
from edgedistill.candidates import Candidate, timed
from edgedistill.chance import AgainstChance, against_chance
from edgedistill.clients import loads_in
from edgedistill.contracts.answers import Answers, References
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
from edgedistill.statistics import (
    auroc,
    auroc_interval,
    calibration_error,
    compare,
    log_softmax,
    metric_interval,
)
from edgedistill.step import Inputs
from edgedistill.tasks._former import METRICS, load_rows

from .warnings import candidate_warnings, chance_warnings, warnings

if TYPE_CHECKING:
    from edgedistill.arrays import Floats, Integers
    from edgedistill.recipe import Round
    from edgedistill.steps.report import Settings
    from edgedistill.tasks._former import Metric

ERRORS_SHOWN = 20
"""Texts of each kind of error and round that are kept."""


def collect(settings: Settings, inputs: Inputs) -> Results:
    """The results of a run."""
    test = TestSet(settings, inputs, "data", settings.ood)
    tests = {
        each.id: test if each.data is None else TestSet(settings, inputs, f"data:{each.id}") for each in settings.rounds
    }
    choice = inputs["choose"].read_json("choice.json")
    data = PreparedData.of(inputs)
    splits = {split: data.split_facts(split) for split in ("train", *data.splits)}
    repeated = {
        f"{earlier}/{split}": count
        for split, facts in splits.items()
        for earlier, count in _counts(facts["duplicate_counts"]).items()
    }
    changes, before = {}, "teacher"
    for each in settings.rounds:
        own, teacher = tests[each.id], teacher_of(each)
        earlier = before if each.data is None else teacher
        now, given = own.model(each.id), own.model(teacher)
        known = np.ones(len(own.labels), np.bool_)
        right = now == own.labels
        changes[each.id] = error_changes(known, own.model(earlier) == own.labels, right, now == given)
        before = each.id if each.data is None else before
    found = tuple(_round(each, settings, inputs, tests[each.id], changes[each.id]) for each in settings.rounds)
    flips = {
        row.id: inputs[f"verify:{row.verify_key}"].read_json("fidelity.json")["flips"]
        for row in settings.candidates
        if not row.emulated and _failure(row, inputs) is None
    }
    measured = tuple(_candidate(row, settings, inputs, test, choice) for row in settings.candidates)
    environment = inputs["measure"].read_json("environment.json")
    by_chance = {"teacher": test.beside_chance("teacher")}
    by_chance |= {each.id: tests[each.id].beside_chance(each.id) for each in settings.rounds}
    return Results.model_validate(
        {
            "schema": RESULTS_SCHEMA,
            "recipe": settings.recipe,
            "edgedistill": __version__,
            "metric": settings.task.metric,
            "teacher": _teacher(inputs, test),
            "rounds": found,
            "candidates": measured,
            "chosen": choice["chosen"],
            "why": choice["why"],
            "stop": _stop(settings, inputs),
            "warnings": (
                *chance_warnings(by_chance),
                *warnings(found, repeated, settings, inputs),
                *candidate_warnings(measured, environment),
            ),
            "flips": flips,
            "errors": {each.id: tests[each.id].texts(changes[each.id], each) for each in settings.rounds},
            "data": {
                "task": settings.task.type,
                "rows": {split: facts["rows"] for split, facts in splits.items()},
                "duplicate_counts": repeated,
                "labels": len(data.labels),
                "test_sha256": splits["test"]["sha256"],
            },
            "environment": environment,
        }
    )


def _counts(content: object) -> dict[str, int]:
    assert isinstance(content, dict)
    return content


class TestSet:
    """A test set's labels and texts, and every model's decisions on it: the recipe's, or a round's own."""

    __test__ = False  # not one of pytest's

    def __init__(self, settings: Settings, inputs: Inputs, data: str, ood: Sequence[str] = ()) -> None:
        from edgedistill.tasks._former import references

        self._inputs = inputs
        self._task = plugins.task(settings.task.type)
        self._data = PreparedData.of(inputs, data)
        self.metric: Metric = METRICS[settings.task.metric]
        self._metric_name = settings.task.metric
        labels = references(self._task, self._data.items("test"))
        self.kept = labels != -100
        self.labels: Integers = labels[self.kept]
        self._elsewhere = {
            name: (f"ood-{name}", references(self._task, PreparedData.of(inputs, "elsewhere").items(name)))
            for name in ood
        }

    def model(self, name: str) -> Integers:
        """Decisions of a torch model."""
        return self._decisions(self._inputs[f"test:{name}"].path("test.safetensors"))

    def beside_chance(self, name: str) -> AgainstChance:
        """A torch model's metric beside that of its answers in random order."""
        every = np.ones(len(self.labels), np.bool_)
        said, asked = (
            References({"class": values}, np.arange(len(values)), np.arange(len(values)), every)
            for values in (self.model(name), self.labels)
        )
        return against_chance(self._metric_name, self._task.judge, said, asked)

    def generalisation(self, name: str) -> dict[str, object]:
        """Calibration on test, and all figures on the sets from elsewhere."""
        artifact = self._inputs[f"test:{name}"]
        logits = np.asarray(load_rows(artifact.path("test.safetensors")).values)[self.kept]
        sets: dict[str, ElsewhereResult] = {}
        for each, (split, labels) in self._elsewhere.items():
            asked = np.asarray(load_rows(artifact.path(f"{split}.safetensors")).values)
            sets[each] = elsewhere(self.metric, logits, asked, labels)
        return {"calibration_error": calibration_error(logits, self.labels), "elsewhere": sets}

    def file(self, verify_key: str) -> Integers:
        """Decisions of a device file."""
        return self._decisions(self._inputs["measure"].path(f"test/{verify_key}.safetensors"))

    def beside(self, whole: Path, some: Path, items: Integers) -> tuple[float, float]:
        """The metric of a file that answered all items, on these items only, and the share of their rows that it
        answers as the one does that answered only these."""
        from edgedistill.tasks._former import references

        decided = np.asarray(load_rows(whole).take(items).values).argmax(axis=1)
        others = np.asarray(load_rows(some).values).argmax(axis=1)
        labels = references(self._task, self._data.items("test").take(items))
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
        offsets = load_rows(self._inputs[f"test:{each.id}"].path("test.safetensors")).offsets
        item_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[self.kept]
        return {
            kind: [
                ErrorText(
                    text=self._task.data.show(rows[int(item_of[row])], self._data.columns),
                    reference=names[self.labels[row]],
                    teacher=names[teacher[row]],
                    model=names[own[row]],
                )
                for row in getattr(changes, kind)[:ERRORS_SHOWN]
            ]
            for kind in ("corrected", "introduced", "inherited")
        }

    def _decisions(self, file: Path) -> Integers:
        decisions: Integers = np.asarray(load_rows(file).values).argmax(axis=1)[self.kept]
        return decisions


def _teacher(inputs: Inputs, test: TestSet) -> TeacherResult:
    training = inputs["model:teacher"].read_json("training.json")
    accuracy, interval = test.accuracy(test.model("teacher"))
    return TeacherResult.model_validate(
        {
            "parameters": training["parameters"],
            "accuracy": accuracy,
            "accuracy_ci": interval,
            "validation_accuracy": inputs["evaluate:teacher"].read_json("accuracy.json")["validation"],
            "train_seconds": training["train_seconds"],
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
    training = inputs[f"model:{each.id}"].read_json("training.json")
    own, teacher = test.model(each.id), test.model(teacher_of(each))
    accuracy, interval = test.accuracy(own)
    drop = compare(test.metric, teacher, own, test.labels)
    trials: list[dict[str, object]] = []
    taught = " + ".join(each.teachers()) if each.data is None else teacher_of(each)
    if f"choice:{each.id}" in inputs:
        choice = inputs[f"choice:{each.id}"].read_json("choice.json")
        chosen, trials = choice["chosen"], choice["trials"]  # type: ignore[assignment]
        assert isinstance(chosen, list)
        taught = " + ".join(chosen)
    facts: dict[str, object] = {
        "id": each.id,
        "teacher": taught,
        "teacher_trials": trials,
        "student": each.student.init,
        "parameters": training["parameters"],
        "accuracy": accuracy,
        "accuracy_ci": interval,
        "validation_accuracy": inputs[f"evaluate:{each.id}"].read_json("accuracy.json")["validation"],
        "drop_from_teacher": drop.difference,
        "drop_from_teacher_ci": (drop.interval.low, drop.interval.high),
        "agreement_with_teacher": float((own == teacher).mean()),
        "train_seconds": training["train_seconds"],
        "samples_per_second": training["samples_per_second"],
        "loads_in": loads_in(inputs[f"model:{each.id}"].path("model")),
        "errors": {name: len(getattr(changes, name)) for name in ("corrected", "introduced", "inherited")},
        "seeds": _seeds(each, settings.seeds, inputs, test),
        **test.generalisation(each.id),
    }
    if each.data is not None:
        facts["own_teacher_accuracy"], facts["own_teacher_accuracy_ci"] = test.accuracy(teacher)
    if f"evaluate:{each.id}-control" in inputs:
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
        there = f"evaluate:{control}" in inputs
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
        return inputs[f"emulate:{row.verify_key}"].failure
    return inputs[f"verify:{row.verify_key}"].failure or inputs["measure"].manifest.failures.get(row.id)


def _candidate(
    row: Candidate, settings: Settings, inputs: Inputs, test: TestSet, choice: Mapping[str, object]
) -> CandidateResult | EmulatedResult | UnmeasuredResult:
    identity = row.model_dump(exclude={"refused", "emulated"})
    if (failure := _failure(row, inputs)) is not None:
        return UnmeasuredResult(**identity, state=failure.state, reason=failure.reason)
    if row.emulated:
        return _emulated(row, settings, inputs, test)
    fidelity = inputs[f"verify:{row.verify_key}"].read_json("fidelity.json")
    seen = inputs["measure"].read_json("measurements.json")[row.id]
    verdicts = choice["verdicts"]
    assert isinstance(seen, dict)
    assert isinstance(verdicts, list)
    verdict = next(each for each in verdicts if each["id"] == row.id)
    teacher = float(str(inputs["evaluate:teacher"].read_json("accuracy.json")["validation"]))
    accuracy, interval = test.accuracy(test.file(row.verify_key))
    files = read_files(inputs[f"file:{row.file_key}"])
    place = f"models/{row.round}/{row.target}"
    return CandidateResult.model_validate(
        {
            **identity,
            "file": f"{place}/{files.main}",
            "files": [f"{place}/{name}" for name in files.device],
            "lengths": files.lengths,
            "facts": files.facts,
            "runtime_size": files.facts.get("runtime_size"),
            "backend": fidelity["backend"],
            "file_bytes": seen["file_bytes"],
            "accuracy": accuracy,
            "accuracy_ci": interval,
            "validation_accuracy": fidelity["accuracy"],
            "accuracy_drop": teacher - float(str(fidelity["accuracy"])),
            "agreement_with_student": fidelity["agreement"],
            "agreement_batched": fidelity.get("agreement_batched"),
            "validation_accuracy_batched": fidelity.get("accuracy_batched"),
            "max_abs_diff": fidelity["max_abs_diff"],
            "mean_abs_diff": fidelity["mean_abs_diff"],
            "mean_kl": fidelity["mean_kl"],
            "latency_ms": seen["latency_ms"],
            "throughput_per_s": seen["throughput_per_s"],
            "peak_rss_mb": seen["peak_rss_mb"],
            "load_ms": seen["load_ms"],
            "within_limits": verdict["within_limits"],
            "blocked_by": verdict["blocked_by"],
            "on_pareto_front": verdict["on_pareto_front"],
        }
    )


def _emulated(row: Candidate, settings: Settings, inputs: Inputs, test: TestSet) -> EmulatedResult:
    found = inputs[f"emulate:{row.verify_key}"]
    facts: dict[str, object] = dict(found.read_json("emulation.json"))
    same_file = [each for each in timed(settings.candidates) if each.file_key == row.file_key]
    here = next((each for each in same_file if _failure(each, inputs) is None), None)
    if here is not None:
        whole, some = inputs["measure"].path(f"test/{here.verify_key}.safetensors"), found.path("test.safetensors")
        items = np.unique(Answers.open(some).item)
        facts["accuracy_here"], facts["agreement_with_here"] = test.beside(whole, some, items)
    return EmulatedResult.model_validate(
        {
            **row.model_dump(include={"id", "round", "target", "precision", "runtime"}),
            "file_bytes": read_files(inputs[f"file:{row.file_key}"]).bytes,
            **facts,
        }
    )


def _stop(settings: Settings, inputs: Inputs) -> dict[str, object] | None:
    """Where the rounds ended and why; None without a stop rule."""
    judged = [each.id for each in settings.rounds if f"judge:{each.id}" in inputs]
    if not judged:
        return None
    last = judged[-1]
    judgements = [inputs[f"judge:{name}"].read_json("judgement.json") for name in judged]
    early = bool(judgements[-1]["stop"])
    ending = "" if early else f"all {len(judgements)} rounds ran; "
    return {"round": last, "early": early, "reason": f"{ending}{judgements[-1]['reason']}", "judgements": judgements}
