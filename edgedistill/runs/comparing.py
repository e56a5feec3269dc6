"""Compare finished runs on the same examples, or a run with other machines' measurements of its bundles."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedistill.bundling import merge
from edgedistill.bundling.measurement import MEASUREMENT_SCHEMA, load_measurement, schema_of
from edgedistill.bundling.merge import MachineFront
from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers, References
from edgedistill.errors import UserError
from edgedistill.evaluation.results import Results, load_results
from edgedistill.evaluation.statistics import Paired
from edgedistill.evaluation.statistics import compare as compare_paired
from edgedistill.recipe import reading


@dataclass(frozen=True)
class RunSummary:
    """One run in a comparison: its teacher, its choice, and the choice paired with the first run's."""

    run: str
    results: Results
    difference_from_first: Paired | None
    """How much better this run's chosen candidate is on test than the first run's; None if test sets or metrics
    differ."""


def compare(runs: Sequence[str | Path]) -> list[RunSummary]:
    """Several finished runs side by side; their chosen candidates are compared in pairs if they share the test set.

    Raises:
        UserError: a folder without results.
    """
    if len(runs) < 2:
        raise UserError(f"compare: got {len(runs)} run, expected at least 2")
    folders = [Path(folder) for folder in runs]
    results = [load_results(folder) for folder in folders]
    return [
        RunSummary(str(folder), result, _difference(folder, result, folders[0], results[0]) if i else None)
        for i, (folder, result) in enumerate(zip(folders, results, strict=True))
    ]


def are_measurements(files: Sequence[str | Path]) -> bool:
    """Whether these are bundle results, measured on other machines."""
    return bool(files) and all(schema_of(Path(file)) == MEASUREMENT_SCHEMA for file in files)


def compare_devices(run: str | Path, measurements: Sequence[str | Path]) -> list[MachineFront]:
    """A run's measurements together with other machines' measurements of its bundles: one Pareto front per machine.

    Args:
        measurements: files that `measure BUNDLE` wrote.

    Raises:
        UserError: not a finished run, another kind of file, or a measurement of another run's files.
    """
    folder = Path(run)
    results = load_results(folder)
    if not (folder / "recipe.yaml").is_file():
        raise UserError(f"{run}: expected a finished run's folder")
    least = reading.load(str(folder / "recipe.yaml")).verify.min_agreement
    found = [(Path(file).name, load_measurement(Path(file))) for file in measurements]
    spec = registry.task_as(results.data.task, results.metric, results.data.options)
    task = registry.task(spec.type)
    speeds = task.prompts.speeds if task.prompts is not None else ()
    return merge.merge(folder, results, task.judge(spec), speeds, least, found)


def _difference(run: Path, own: Results, first_run: Path, first: Results) -> Paired | None:
    """Paired gain of one chosen candidate over another, if both ran on the same examples."""
    same_test = own.data.test_sha256 == first.data.test_sha256 and own.metric == first.metric
    if own.chosen is None or first.chosen is None or not same_test or own.data.options != first.data.options:
        return None
    spec = registry.task_as(own.data.task, own.metric, own.data.options)
    metric = registry.task(spec.type).judge(spec).metrics[own.metric]
    given, examples = [], []
    for folder, results in ((run, own), (first_run, first)):
        row = results.candidate(str(results.chosen))
        file = folder / "predictions" / "test" / f"{row.model}-{row.target}-{row.precision}-{row.runtime}.safetensors"
        if not file.is_file():
            return None
        with _damage_named(file):
            answers = Answers.open(file)
        # Runs may split the same examples into different items or decisions.
        own_right = file.with_name(f"references-{row.model}.safetensors")
        right = own_right if own_right.is_file() else file.with_name("references.safetensors")
        with _damage_named(right):
            references = References.open(right)
        with _damage_named(file):
            given.append(metric.statistics(answers, references))
        examples.append(references.examples)
    return compare_paired(metric, given[0], given[1]) if np.array_equal(examples[0], examples[1]) else None


@contextmanager
def _damage_named(file: Path) -> Iterator[None]:
    """Add the file's name to errors in reading a published file.

    Raises:
        UserError: the file is not as the run published it.
    """
    try:
        yield
    except (OSError, ValueError, TypeError, LookupError, RecursionError, struct.error) as error:
        words = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: damaged or missing ({words}); run the recipe again") from error
