"""Puts all figures together: `results.json`, `report.md`, `report.html`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import __version__, plugins
from edgedistill.artifacts import write_json, write_text
from edgedistill.candidates import Candidate
from edgedistill.recipe import Round, SelectSpec, TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from edgedistill.interfaces import Integers, Metric
    from edgedistill.results import CandidateResult, Results, RoundResult, TeacherResult

VERSION = 1


class Settings(Spec):
    """What the report is about."""

    recipe: str
    task: TaskSpec
    rounds: tuple[Round, ...]
    candidates: tuple[Candidate, ...]
    select: SelectSpec


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish the three files."""
    from edgedistill.report.html import render_html
    from edgedistill.report.markdown import render_markdown

    results = collect(settings, inputs)
    training = {
        role.split(":", 1)[1]: inputs[role].read_json("training.json") for role in inputs if role.startswith("model:")
    }
    write_json(folder / "results.json", results.model_dump(mode="json", by_alias=True))
    write_text(folder / "report.md", render_markdown(results))
    write_text(folder / "report.html", render_html(results, training, settings.select))


def collect(settings: Settings, inputs: Inputs) -> Results:
    """All figures of a run, accuracies on test."""
    from edgedistill.engine import versions
    from edgedistill.machine import describe
    from edgedistill.results import RESULTS_SCHEMA, Results

    test = _TestSet(settings, inputs)
    choice = inputs["choose"].read_json("choice.json")
    data = inputs["data"].read_json("data.json")
    labels = data["labels"]
    assert isinstance(labels, list)
    rounds = tuple(_round(each, settings, inputs, test) for each in settings.rounds)
    candidates = tuple(_candidate(row, inputs, test, choice) for row in settings.candidates)
    flips = {
        row.id: inputs[f"verify:{row.verify_key}"].read_json("fidelity.json")["flips"] for row in settings.candidates
    }
    return Results.model_validate(
        {
            "schema": RESULTS_SCHEMA,
            "recipe": settings.recipe,
            "edgedistill": __version__,
            "metric": settings.task.metric,
            "teacher": _teacher(inputs, test),
            "rounds": rounds,
            "candidates": candidates,
            "chosen": choice["chosen"],
            "why": choice["why"],
            "warnings": tuple(_warnings(rounds, data)),
            "flips": flips,
            "data": {
                "task": settings.task.type,
                "rows": data["rows"],
                "duplicate_counts": data["duplicate_counts"],
                "labels": len(labels),
                "test_sha256": data["test_sha256"],
            },
            "environment": {**describe(), "versions": versions()},
        }
    )


class _TestSet:
    """The test set's labels, and every model's decisions on it."""

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        from edgedistill.data import PreparedData
        from edgedistill.inference import references

        self._inputs = inputs
        task = plugins.find("tasks", settings.task.type)
        self.metric: Metric = task.METRICS[settings.task.metric]
        labels = references(task, PreparedData(inputs["data"].folder).tokens("test"))
        self.kept = labels != -100
        self.labels: Integers = labels[self.kept]

    def model(self, name: str) -> Integers:
        """Decisions of a torch model."""
        return self._decisions(self._inputs[f"evaluate:{name}"].path("test.safetensors"))

    def file(self, verify_key: str) -> Integers:
        """Decisions of a device file."""
        return self._decisions(self._inputs["measure"].path(f"test/{verify_key}.safetensors"))

    def accuracy(self, decisions: Integers) -> tuple[float, tuple[float, float]]:
        """The metric and its interval."""
        from edgedistill.statistics import metric_interval

        interval = metric_interval(self.metric, decisions, self.labels)
        return self.metric.score(decisions, self.labels), (interval.low, interval.high)

    def _decisions(self, file: Path) -> Integers:
        from edgedistill.signals import load_rows

        decisions: Integers = np.asarray(load_rows(file).values).argmax(axis=1)[self.kept]
        return decisions


def _teacher(inputs: Inputs, test: _TestSet) -> TeacherResult:
    from edgedistill.results import TeacherResult

    training = inputs["model:teacher"].read_json("training.json")
    accuracy, interval = test.accuracy(test.model("teacher"))
    return TeacherResult.model_validate(
        {
            "parameters": training["parameters"],
            "accuracy": accuracy,
            "accuracy_ci": interval,
            "validation_accuracy": inputs["evaluate:teacher"].read_json("accuracy.json")["validation"],
            "train_seconds": training["train_seconds"],
        }
    )


def _round(each: Round, settings: Settings, inputs: Inputs, test: _TestSet) -> RoundResult:
    from edgedistill.results import RoundResult
    from edgedistill.statistics import compare

    training = inputs[f"model:{each.id}"].read_json("training.json")
    own, teacher = test.model(each.id), test.model("teacher")
    accuracy, interval = test.accuracy(own)
    drop = compare(test.metric, teacher, own, test.labels)
    facts: dict[str, object] = {
        "id": each.id,
        "teacher": " + ".join(each.teachers()),
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
    }
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


def _candidate(row: Candidate, inputs: Inputs, test: _TestSet, choice: dict[str, object]) -> CandidateResult:
    from edgedistill.results import CandidateResult

    fidelity = inputs[f"verify:{row.verify_key}"].read_json("fidelity.json")
    seen = inputs["measure"].read_json("measurements.json")[row.id]
    verdicts = choice["verdicts"]
    assert isinstance(seen, dict)
    assert isinstance(verdicts, list)
    verdict = next(each for each in verdicts if each["id"] == row.id)
    teacher = float(str(inputs["evaluate:teacher"].read_json("accuracy.json")["validation"]))
    accuracy, interval = test.accuracy(test.file(row.verify_key))
    file = plugins.find("quantizers", row.precision).FILE
    return CandidateResult.model_validate(
        {
            **row.model_dump(),
            "file": f"models/{row.round}/{row.target}/{file}",
            "file_bytes": seen["file_bytes"],
            "accuracy": accuracy,
            "accuracy_ci": interval,
            "validation_accuracy": fidelity["accuracy"],
            "accuracy_drop": teacher - float(str(fidelity["accuracy"])),
            "agreement_with_student": fidelity["agreement"],
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


def _warnings(rounds: tuple[RoundResult, ...], data: dict[str, object]) -> list[str]:
    """What a reader must know before the figures."""
    found = []
    for each in rounds:
        if each.gain_over_control is None or each.gain_over_control_ci is None:
            continue
        low, high = each.gain_over_control_ci
        gain = f"{100 * each.gain_over_control:+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}]"
        if high < 0:
            found.append(f"{each.id} is worse than its control, the same student without a teacher: {gain} on test.")
        elif low <= 0:
            found.append(f"{each.id} is not shown to be better than its control without a teacher: {gain} on test.")
    counts = data["duplicate_counts"]
    assert isinstance(counts, dict)
    for pair, count in counts.items():
        if count:
            first, second = pair.split("/")
            found.append(f"{count} texts of {second} are also in {first}: accuracy there may be flattered.")
    return found
