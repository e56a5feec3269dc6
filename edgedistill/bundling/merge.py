"""Combines a run's measurements with other machines' measurements of its bundles: one Pareto front per machine.

Latencies of different machines are never compared: a candidate has one row per machine, and is on that machine's front
if nothing there beats it in the primary metric, speed and size at once (`selection.pareto_front`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgedistill.bundling.layout import sha256
from edgedistill.bundling.measurement import DeviceMeasurement
from edgedistill.contracts.judge import Judge
from edgedistill.contracts.speed import Speed
from edgedistill.errors import UserError
from edgedistill.evaluation.file_checks import faults
from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import CandidateResult, Latency
from edgedistill.evaluation.results_figures import Figure
from edgedistill.evaluation.selection import Figures, Primary, Prompted, pareto_front
from edgedistill.exporting.jobs import TOLERANCE


@dataclass(frozen=True)
class DeviceRow:
    """One candidate on one machine. The metric is the run's, since the file is the same and its golden answers
    agree."""

    id: str
    measured_by: str
    """`run`, or the name of the results file."""
    threads: int
    batch: int
    file_bytes: int
    test: Figure | None
    """The primary metric; None for a file that answers wrongly."""
    validation: Figure
    latency_ms: Latency | None
    load_ms: float | None
    peak_rss_mb: float | None
    speeds: Mapping[str, float]
    """Medians of the task's figures with the run's prompts, by name."""
    golden: str
    """`verified` by the run, `passed`, or what is wrong."""
    usable: bool
    """Whether it may be on the front."""
    on_pareto_front: bool = False


@dataclass(frozen=True)
class MachineFront:
    """All measurements on one machine."""

    machine: str
    rows: tuple[DeviceRow, ...]


def merge(
    run: Path,
    results: Results,
    judge: Judge,
    speeds: Sequence[Speed],
    min_agreement: float,
    found: Sequence[tuple[str, DeviceMeasurement]],
) -> list[MachineFront]:
    """The run's machines first, then the others in the given order.

    Args:
        speeds: the task's figures for prompts, which replace latency on the front.
        found: measurements with the names of their files.

    Raises:
        UserError: a measurement of another run's candidate or files.
    """
    places: dict[str, list[DeviceRow]] = {}
    for row in results.measured:
        places.setdefault(results.hosts[row.host].place, []).append(_own(row, results, judge, min_agreement))
    for name, measurement in found:
        places.setdefault(measurement.place, []).append(_foreign(run, results, name, measurement))
    prompted = Prompted(speeds, results.prompt_tokens)
    return [MachineFront(place, _with_front(rows, results, prompted)) for place, rows in places.items()]


def _own(row: CandidateResult, results: Results, judge: Judge, min_agreement: float) -> DeviceRow:
    wrong = [*faults(judge, row.precision, row.checks, row.texts_read)]
    agreement = row.agreement_with_student if row.batch == 1 else row.agreement_batched
    if agreement is not None and agreement < min_agreement:
        wrong.append(f"agreement {agreement:.4f} is below {min_agreement:g}")
    return DeviceRow(
        id=row.id,
        measured_by="run",
        threads=row.threads,
        batch=row.batch,
        file_bytes=row.file_bytes,
        test=row.test,
        validation=row.validation,
        latency_ms=row.latency_ms,
        load_ms=row.load_ms,
        peak_rss_mb=row.peak_rss_mb,
        speeds=_medians(
            (speed.name, speed.p50)
            for prompt in row.prompts
            if prompt.tokens == results.prompt_tokens
            for speed in prompt.speeds
        ),
        golden="; ".join(wrong) or "verified",
        usable=not wrong,
    )


def _foreign(run: Path, results: Results, name: str, found: DeviceMeasurement) -> DeviceRow:
    row = next((candidate for candidate in results.measured if candidate.id == found.candidate), None)
    if row is None:
        known = ", ".join(candidate.id for candidate in results.measured)
        raise UserError(f"{name}: measures '{found.candidate}', which {run} does not have; expected one of {known}")
    place = f"models/{row.model}/"
    for file in row.files:
        measured = found.device_files.get(file.removeprefix(place))
        if not (run / file).is_file():
            raise UserError(f"{run}: {file} is missing; run the recipe again")
        if measured != sha256(run / file):
            raise UserError(
                f"{name}: measured a different {file.removeprefix(place)} from the one in {run} (their sha256 differ); "
                "bundle this run and measure the bundle"
            )
    if found.file_bytes != row.file_bytes:
        raise UserError(f"{name}: gives the files' size as {found.file_bytes} bytes, in {run} it is {row.file_bytes}")
    allowed = max(TOLERANCE, row.max_abs_diff)
    if found.golden.tolerance > allowed * (1 + 1e-6):
        raise UserError(
            f"{name}: its test allowed a difference of {found.golden.tolerance:g}, a bundle of {run} allows at most "
            f"{allowed:g}; bundle this run and measure the bundle"
        )
    same_setup = (found.runtime, found.threads, found.batch) == (row.runtime, row.threads, row.batch)
    return DeviceRow(
        id=row.id if same_setup else f"{row.model}/{row.target}/{row.precision}/{found.runtime}",
        measured_by=name,
        threads=found.threads,
        batch=found.batch,
        file_bytes=found.file_bytes,
        test=row.test if found.golden.passed else None,
        validation=row.validation,
        latency_ms=found.latency_ms,
        load_ms=found.load_ms,
        peak_rss_mb=found.peak_rss_mb,
        speeds=_medians(
            (name, speed.p50)
            for prompt in found.prompts
            if prompt.tokens == results.prompt_tokens
            for name, speed in prompt.speeds.items()
        ),
        golden="passed" if found.golden.passed else found.golden.wrong[0],
        usable=found.golden.passed,
    )


def _medians(figures: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    return {name: value for name, value in figures if value is not None}


def _with_front(rows: Sequence[DeviceRow], results: Results, prompted: Prompted) -> tuple[DeviceRow, ...]:
    figures = [
        Figures(
            id=str(number),
            value=row.validation.value,
            drop=0.0,
            file_mb=row.file_bytes / 1e6,
            p50_ms=row.latency_ms.p50,
            p95_ms=row.latency_ms.p95,
            peak_rss_mb=row.peak_rss_mb,
            load_ms=row.load_ms or 0.0,
            agreement=1.0,
            speeds=row.speeds,
        )
        for number, row in enumerate(rows)
        if row.usable and row.latency_ms is not None and row.latency_ms.p50 is not None
    ]
    front = pareto_front(figures, Primary(results.metric, results.direction), prompted)
    return tuple(replace(row, on_pareto_front=str(number) in front) for number, row in enumerate(rows))
