"""The stopping rule: is a round's drop significant, are the limits met, does the run continue. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgedistill.arrays import Floats
from edgedistill.contracts.metric import Metric
from edgedistill.evaluation.statistics import compare, drop_exceeds
from edgedistill.evaluation.wording import worsening
from edgedistill.recipe.deployment_spec import Limits
from edgedistill.recipe.schema import StopSpec


@dataclass(frozen=True)
class FileFigures:
    """Figures of an exported file before timing; `drop` is how much worse it is than the teacher on validation."""

    id: str
    drop: float
    file_mb: float
    shipped_mb: float
    """With the tokenizer."""
    blocked: bool = False
    """Whether it can't be chosen, whatever the limits: what verification found rules it out, or the search of its mix
    found none within its bound."""


@dataclass(frozen=True)
class Judgement:
    """The verdict on a round on validation. `drop` is how much worse it is than the teacher, whatever the metric's
    direction; `p` is for "no difference from the teacher"."""

    round: str
    drop: float
    drop_ci: tuple[float, float]
    p: float
    real: bool
    """Whether the drop is significant at `alpha`."""
    within_limits: tuple[str, ...]
    """Files that are verified and within the limits on drop and file size; latency and memory are measured at the
    end."""
    stop: bool
    reason: str


def judge(
    round_id: str,
    metric: Metric,
    teacher: Floats,
    student: Floats,
    files: Sequence[FileFigures],
    rule: StopSpec,
    limits: Limits,
) -> Judgement:
    """Judge one round by the teacher's and the student's statistics (E, K) per example of validation.

    With `paired_bootstrap` the drop must exceed the limit in all but `alpha` of the resamples (one-sided); with
    `mcnemar` the models must differ (two-sided exact test at `alpha`) and the drop must exceed the limit.
    """
    paired = compare(metric, teacher, student)
    drop, low, high = paired.gain, paired.interval.low, paired.interval.high
    within = tuple(file.id for file in files if _within(file, limits))
    real = paired.p < rule.alpha and drop > 0
    what = worsening(metric.name, metric.direction)
    shown = f"{round_id}'s {what} on validation is {drop:.4f} [{low:.4f}, {high:.4f}], p {paired.p:.3g}"
    allowed = rule.when.drop
    fitting = f"{len(within)} of its {len(files)} files are verified and within the limits on drop and size"
    too_far = False
    if allowed is not None:
        if rule.test == "mcnemar":
            too_far = real and drop > allowed
        else:
            too_far = drop_exceeds(metric, teacher, student, allowed, rule.alpha)
    meets = rule.when.limits_met and bool(within)
    if too_far:
        reason = f"{shown}: significantly more than {allowed:g} at alpha {rule.alpha:g}; smaller rounds would lose more"
    elif meets:
        reason = f"{shown}; {fitting}"
    else:
        standing = "significant" if real else "not significant"
        compared = "" if allowed is None else f", not significantly more than {allowed:g}"
        reason = f"{shown}: {standing}{compared}; {fitting}"
    return Judgement(round_id, drop, (low, high), paired.p, real, within, too_far or meets, reason)


def _within(file: FileFigures, limits: Limits) -> bool:
    known = ((limits.drop, file.drop), (limits.file_mb, file.file_mb), (limits.shipped_mb, file.shipped_mb))
    return not file.blocked and all(limit is None or value <= limit for limit, value in known)
