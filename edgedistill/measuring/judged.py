"""Evaluates a model's answers: fidelity to another model, and every metric of the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from edgedistill.arrays import Floats, Integers, evenly_spaced
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.items import Items
from edgedistill.contracts.judge import Fidelity, Judge
from edgedistill.measuring.device_model import Opened
from edgedistill.store.records.files import FidelityFigures, Flip

Given = TypeVar("Given", bound=Answers)

BATCHED = 16
"""Batch size for padded batches, as on a server."""


@dataclass(frozen=True)
class EvaluationSet:
    """Items to run a model on, and the expected answers."""

    items: Items
    chosen: Integers | None = None
    """Indices of the items to run; None: all."""
    references: References | None = None
    """Of all items."""
    expected: Answers | None = None
    """Another model's answers on all items."""


@dataclass(frozen=True)
class Judged:
    """Answers with their evaluation."""

    answers: Answers
    references: References | None
    expected: Answers | None
    """Both for the selected items only."""
    fidelity: Fidelity | None
    """Compared with `expected`."""
    figures: Mapping[str, float]
    """By metric; empty if there are no references."""


def answer_and_judge(opened: Opened, judge: Judge, asked: EvaluationSet, batch: int = 1) -> Judged:
    """Run an opened model, one by one or in padded batches, and evaluate its answers.

    Raises:
        EdgedistillError: it cannot be run, or its answers cannot be compared.
    """
    return judged(judge, opened.answers(asked.items, asked.chosen, batch), asked)


def judged(judge: Judge, answers: Answers, asked: EvaluationSet) -> Judged:
    """Evaluate answers for the selected items.

    Raises:
        EdgedistillError: they cannot be compared with the expected ones.
    """
    references = _of_chosen(asked.references, asked.chosen)
    expected = _of_chosen(asked.expected, asked.chosen)
    known = references is not None and bool(references.known.any())
    return Judged(
        answers=answers,
        references=references,
        expected=expected,
        fidelity=judge.fidelity(expected, answers) if expected is not None else None,
        figures={
            name: metric.score(answers, references)
            for name, metric in judge.metrics.items()
            if known and references is not None
        },
    )


def fidelity_figures(found: Judged) -> FidelityFigures:
    """Fidelity of answers to the expected ones."""
    fidelity, expected = found.fidelity, found.expected
    assert fidelity is not None, "answers were expected"
    assert expected is not None, "answers were expected"
    return FidelityFigures(
        agreement=float(fidelity.agree.mean()),
        max_abs_diff=float(fidelity.difference.max()),
        mean_abs_diff=float(np.abs(numbers(found.answers) - numbers(expected)).mean()),
        mean_divergence=float(fidelity.divergence.mean()),
        max_divergence=float(fidelity.divergence.max()),
    )


def flips(judge: Judge, found: Judged, names: Sequence[str], show: Callable[[int], str]) -> tuple[Flip, ...]:
    """The decisions on which a model differs from its reference, as readable text; none for a task with too many.

    Args:
        names: label names.
        show: formats an example by its number.
    """
    fidelity, expected, references = found.fidelity, found.expected, found.references
    assert fidelity is not None, "answers were expected"
    assert expected is not None, "answers were expected"
    if not judge.lists_flips:
        return ()
    places = np.flatnonzero(~fidelity.agree)
    said, meant = (judge.texts(answers.where(places), names) for answers in (found.answers, expected))
    right = judge.texts(references.where(places), names) if references is not None else [""] * len(places)
    examples = found.answers.example[places]
    return tuple(
        Flip(text=show(int(example)), reference=reference, model=model, device=device)
        for example, reference, model, device in zip(examples, right, meant, said, strict=True)
    )


def numbers(answers: Answers) -> Floats:
    """(D, K) all floating-point values of each decision."""
    parts = [np.asarray(array) for array in answers.values.values() if np.issubdtype(array.dtype, np.floating)]
    return np.concatenate([part.reshape(len(answers), -1) for part in parts], axis=1)


def some_examples(items: Items, take: int | None) -> Integers:
    """Indices of all items of `take` examples, evenly spaced; None: of all examples."""
    examples = np.unique(items.example)
    return items.of_examples(examples[evenly_spaced(len(examples), take)])


def _of_chosen(given: Given | None, chosen: Integers | None) -> Given | None:
    return given if given is None or chosen is None else given.of_items(chosen)
