"""The plan's estimates beside the figures of the candidates that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgedistill.evaluation.estimate_error import EstimatedCandidate, EstimateErrors, estimate_errors, estimated
from edgedistill.evaluation.results_candidates import CandidateResult

if TYPE_CHECKING:
    from edgedistill.exporting.estimates import CandidateEstimate


def compared(estimates: Sequence[CandidateEstimate], measured: Sequence[object]) -> EstimateErrors | None:
    """Of every measured candidate that has an estimate; None if there are none."""
    found = {candidate.id: candidate for candidate in measured if isinstance(candidate, CandidateResult)}
    return estimate_errors(_compared(one, found[one.id]) for one in estimates if one.id in found)


def _compared(expected: CandidateEstimate, measured: CandidateResult) -> EstimatedCandidate:
    return EstimatedCandidate(
        id=expected.id,
        file_bytes=estimated(expected.file_bytes, measured.file_bytes),
        p50_ms=estimated(expected.p50_ms, measured.latency_ms.p50),
        p95_ms=estimated(expected.p95_ms, measured.latency_ms.p95),
    )
