"""Short names of candidates: only what distinguishes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgedistill.evaluation.results import CandidateResult


def short_names(candidates: Sequence[CandidateResult]) -> dict[str, str]:
    """`r1 int8` for `r1/onnx/int8-dynamic/onnxruntime`; target, runtime, threads, batch and host only if they
    differ."""
    precisions = _short_precisions(candidates)
    pairs = {(each.target, each.runtime) for each in candidates}
    targets = [target for target, _ in pairs]
    parts: tuple[Callable[[CandidateResult], str], ...] = (
        lambda each: each.target,
        # If each target has one runtime, the target implies it.
        lambda each: each.runtime if targets.count(each.target) > 1 else "",
        lambda each: f"{each.threads}t",
        lambda each: f"b{each.batch}",
        lambda each: f"on {each.host}",
    )
    telling = [part for part in parts if len({part(each) for each in candidates}) > 1]
    return {
        each.id: " ".join(filter(None, [each.model, precisions[each.precision], *(part(each) for part in telling)]))
        for each in candidates
    }


def _short_precisions(candidates: Sequence[CandidateResult]) -> dict[str, str]:
    """`int8` for `int8-dynamic` unless there is also `int8-static`."""
    found = {each.precision for each in candidates}
    stems = [name.split("-")[0] for name in found]
    return {name: stem if stems.count(stem := name.split("-")[0]) == 1 else name for name in found}
