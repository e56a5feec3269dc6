"""The judging half of a task: its metrics, and how closely one model repeats another. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgedistill.arrays import Arrays, Booleans, Floats
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.metric import Metric

ErrorKind = Literal["focal", "boost"]


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
        fidelity: (reference, device) -> how closely the second repeats the first. Raises `EdgedistillError` where they
            can't be compared: other shapes, or answers that are not numbers.
        texts: (answers or references, label names) -> D texts, what a person reads of each decision; "" where a
            reference isn't known.
        right: (answers, references) -> (D,) which decisions are right (False where nothing is known); None for a task
            without right and wrong (a vector's distance), which then has no changes of errors and no weights by errors.
        error_weights: (answers, references, kind, strength) -> (D,) raw weights before normalisation, for the known
            decisions (0 elsewhere). `focal` grows with the doubt of the right answer, `boost` is `strength` where the
            answer is wrong and 1 where it is right.
        as_references: (answers) -> what they say, taken as right: each of its decisions is known, and `values` are in
            the form of references. Where it is given, a metric may be asked about its result too, as answers.
        misfit: (answers, label names) -> why they can't be those of a model with these labels, or None; for files that
        no
            run made.
        confidence: None for a task whose answers don't tell how sure they are.
        guess: (references) -> the answers of one who knows which right answers there are, but not where: what chance
            is, for answers that tell of the right one and so can't change places. None: the same answers in random
            order.
        checks: (what `TaskModel.probe` gave, what `Driver.probe` gave of its file) -> shares from 0 to 1 by name, 1
            where all is as it should be. None for a task without such probes.
        check_words: (name of a check -> what a table calls it).
        lists_flips: whether a person can look through the single decisions in which a file differs from its torch
            model; False where an example has hundreds.
        decision: what a person calls one thing that is decided: `answer`, `next token`.
        divergence: what `Fidelity.divergence` is called: `KL, nats`.
        size_of: (references) -> (E,) how large each of `references.examples` is, in `size_unit`, whatever tokens a
            model has; None for a task whose figures say nothing of it.
    """

    metrics: Mapping[str, Metric]
    fidelity: Callable[[Answers, Answers], Fidelity]
    texts: Callable[[Answers, Sequence[str]], Sequence[str]]
    right: Callable[[Answers, References], Booleans] | None = None
    error_weights: Callable[[Answers, References, ErrorKind, float], Floats] | None = None
    as_references: Callable[[Answers], References] | None = None
    confidence: Confidence | None = None
    misfit: Callable[[Answers, Sequence[str]], str | None] | None = None
    guess: Callable[[References], Answers] | None = None
    checks: Callable[[Arrays, Arrays], Mapping[str, float]] | None = None
    check_words: Mapping[str, str] = field(default_factory=dict)
    lists_flips: bool = True
    decision: str = "answer"
    divergence: str = "divergence"
    size_of: Callable[[References], Floats] | None = None
    size_unit: str = ""
