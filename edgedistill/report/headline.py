"""Savings of the chosen candidate relative to the teacher's fp32 file."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.report import formatting as f
from edgedistill.report.markdown_speeds import speeds_in_words


@dataclass(frozen=True)
class Headline:
    """The chosen candidate and its factors; None if the teacher's file was not measured."""

    chosen: CandidateResult
    times_smaller: float | None
    times_faster: float | None


def headline(results: Results) -> Headline | None:
    """The chosen candidate's key figures, or None if there is none."""
    if results.chosen is None:
        return None
    chosen = results.candidate(results.chosen)
    return Headline(chosen, times_smaller(results, chosen), times_faster(results, chosen))


def ship_line(results: Results) -> str | None:
    """The chosen candidate's figures in one line, its metric on test first, since that played no part in the choice;
    None if there is none."""
    if results.chosen is None:
        return None
    chosen = results.candidate(results.chosen)
    metric = f"{results.metric_in_words} {f.estimate(chosen.test)} on test"
    choice = f"({f.metric(chosen.validation.value)} {results.comparison})"
    size = f"{f.megabytes(chosen.file_bytes)} MB"
    return f"{chosen.id}: {', '.join([f'{metric} {choice}', *speeds_in_words(chosen, results), size])}"


def baseline(results: Results, candidate: CandidateResult) -> CandidateResult | None:
    """The teacher's fp32 file, timed in the same way as this candidate."""
    for other in results.measured:
        same = all(
            getattr(other, name) == getattr(candidate, name) for name in ("target", "runtime", "threads", "batch")
        )
        if other.model == "teacher" and other.precision == "fp32" and same:
            return other
    return None


def times_smaller(results: Results, candidate: CandidateResult) -> float | None:
    """Size of the teacher's fp32 file divided by this file's."""
    teacher = baseline(results, candidate)
    return None if teacher is None else teacher.file_bytes / candidate.file_bytes


def times_faster(results: Results, candidate: CandidateResult) -> float | None:
    """Median latency of the teacher's fp32 file divided by this file's."""
    teacher = baseline(results, candidate)
    if teacher is None or teacher.latency_ms.p50 is None or not candidate.latency_ms.p50:
        return None
    return teacher.latency_ms.p50 / candidate.latency_ms.p50
