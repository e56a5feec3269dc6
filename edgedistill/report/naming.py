"""Short names of candidates: only what distinguishes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgedistill.evaluation.results_candidates import CandidateResult


def short_names(candidates: Sequence[CandidateResult]) -> dict[str, str]:
    """`r1 int8` for `r1/onnx/int8-dynamic/onnxruntime`; target, runtime, threads, batch and host only if they
    differ."""
    precisions = _short_precisions(candidates)
    pairs = {(candidate.target, candidate.runtime) for candidate in candidates}
    targets = [target for target, _ in pairs]
    parts: tuple[Callable[[CandidateResult], str], ...] = (
        lambda candidate: candidate.target,
        # If each target has one runtime, the target implies it.
        lambda candidate: candidate.runtime if targets.count(candidate.target) > 1 else "",
        lambda candidate: f"{candidate.threads}t",
        lambda candidate: f"b{candidate.batch}",
        lambda candidate: f"on {candidate.host}",
    )
    telling = [part for part in parts if len({part(candidate) for candidate in candidates}) > 1]
    return {
        candidate.id: " ".join(
            filter(None, [candidate.model, precisions[candidate.precision], *(part(candidate) for part in telling)])
        )
        for candidate in candidates
    }


def _short_precisions(candidates: Sequence[CandidateResult]) -> dict[str, str]:
    """`int8` for `int8-dynamic` unless there is also `int8-static`."""
    found = {candidate.precision for candidate in candidates}
    stems = [name.split("-")[0] for name in found]
    return {name: stem if stems.count(stem := name.split("-")[0]) == 1 else name for name in found}
