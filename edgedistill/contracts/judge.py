"""The evaluation half of a task: its metrics, and how closely one model matches another. Numpy only."""

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
    """How closely one model matches another on the same decisions."""

    agree: Booleans
    """(D,) whether both predict the same."""
    divergence: Floats
    """(D,) in the task's own measure (KL in nats, cosine distance); 0 if equal."""
    difference: Floats
    """(D,) largest absolute difference between a decision's raw outputs."""


@dataclass(frozen=True)
class Demand:
    """The least that a check of a file must reach.

    Args:
        fp32: an fp32 file below this is not chosen: it computes what its PyTorch model does, up to rounding.
        every: a file of any precision below this is not chosen.
        told: below this, a warning gives the figure: a quantized file may answer differently if, for example, its
            scales depend on the rest of the batch.
    """

    fp32: float
    every: float
    told: float


@dataclass(frozen=True)
class Confidence:
    """A model's confidence, for tasks that define it.

    Args:
        of: (D,) larger is more confident; separates in-scope from out-of-scope examples.
        calibration_error: expected calibration error of the known decisions.
    """

    of: Callable[[Answers], Floats]
    calibration_error: Callable[[Answers, References], float]


@dataclass(frozen=True)
class Judge:
    """How a task evaluates answers.

    Args:
        metrics: by name; at least one.
        fidelity: (reference, device) -> how closely the second matches the first. Raises `EdgedistillError` if they
            cannot be compared: different shapes, NaN or infinity.
        texts: (answers or references, label names) -> D readable texts, one per decision; "" where a reference is
            unknown.
        right: (answers, references) -> (D,) which decisions are right (False where unknown); None for a task without
            correct answers (a vector's distance), which then has no error statistics and no error weights.
        error_weights: (answers, references, kind, strength) -> (D,) weights before normalisation for the known
            decisions (0 elsewhere). `focal` grows as the probability of the right answer falls, `boost` is `strength`
            where the answer is wrong and 1 where it is right.
        as_references: (answers) -> the answers treated as ground truth: every decision is known, and `values` are in
            the form of references. If given, metrics also accept its result as answers.
        misfit: (answers, label names) -> why they cannot come from a model with these labels, or None; for files that
        no
            run made.
        confidence: None for a task without a measure of confidence.
        guess: (references) -> answers that only use the distribution of the references: the chance level for answers
            that depend on the reference and so cannot be shuffled. None: the same answers in random order.
        checks: (result of `TaskModel.probe`, result of `Driver.probe` for the file) -> shares from 0 to 1 by name,
            where 1 is perfect. None for a task without probes.
        check_words: name of a check -> its heading in tables.
        demands: name of a check -> the least that it must reach; nothing is demanded of the others.
        lists_flips: whether to list the individual decisions on which a file and its PyTorch model differ; False if an
            example has hundreds.
        decision: the word for one decision: `answer`, `next token`.
        divergence: the name of `Fidelity.divergence`: `KL, nats`.
        size_of: (references) -> (E,) size of each of `references.examples` in `size_unit`, independent of the
            tokenizer; None to report no figures by size.
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
    demands: Mapping[str, Demand] = field(default_factory=dict)
    lists_flips: bool = True
    decision: str = "answer"
    divergence: str = "divergence"
    size_of: Callable[[References], Floats] | None = None
    size_unit: str = ""
