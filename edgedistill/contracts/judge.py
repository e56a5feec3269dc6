"""The judging half of a task: its metrics, and how closely one model repeats another. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgedistill.arrays import Booleans, Floats

from .answers import Answers, References
from .metric import Metric


@dataclass(frozen=True)
class Fidelity:
    """How closely one model repeats another on the same decisions."""

    agree: Booleans
    """(D,) whether both decide the same."""
    divergence: Floats
    """(D,) in the task's own measure (KL in nats, cosine distance); 0 where they are the same."""
    difference: Floats
    """(D,) largest absolute difference of the raw numbers of a decision."""


@dataclass(frozen=True)
class Confidence:
    """How sure a model is, for tasks that can tell.

    Args:
        of: (D,) larger is surer; what tells in-scope from out-of-distribution examples.
        calibration_error: expected calibration error of the known decisions.
    """

    of: Callable[[Answers], Floats]
    calibration_error: Callable[[Answers, References], float]


@dataclass(frozen=True)
class Judge:
    """What a task says of answers.

    Args:
        metrics: by name; at least one.
        fidelity: (reference, device) -> how closely the second repeats the first.
        right: (answers, references) -> (D,) which decisions are right; None for a task without right and wrong (a
            vector's distance), which then has no changes of errors and no weights by errors.
        error_weights: (answers, references, kind, strength) -> (D,) raw weights before normalisation, for the known
            decisions (0 elsewhere).
        texts: (answers, label names) -> D texts, what a person reads of each decision.
        confidence: None for a task whose answers don't tell how sure they are.
    """

    metrics: Mapping[str, Metric]
    fidelity: Callable[[Answers, Answers], Fidelity]
    texts: Callable[[Answers, Sequence[str]], Sequence[str]]
    right: Callable[[Answers, References], Booleans] | None = None
    error_weights: Callable[[Answers, References, Literal["focal", "boost"], float], Floats] | None = None
    as_references: Callable[[Answers], References] | None = None
    confidence: Confidence | None = None
