"""What a model's answers are worth: how closely they repeat another model's, and every metric of the task."""

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
"""Items in a padded batch, as a server would ask."""


@dataclass(frozen=True)
class EvaluationSet:
    """Items that a model is to answer, and what its answers are judged by."""

    items: Items
    chosen: Integers | None = None
    """Numbers of the items asked; None: all."""
    references: References | None = None
    """Of all items."""
    expected: Answers | None = None
    """What another model answered to all items."""


@dataclass(frozen=True)
class Judged:
    """Answers, and what they are worth."""

    answers: Answers
    references: References | None
    expected: Answers | None
    """Both of the items asked only."""
    fidelity: Fidelity | None
    """To `expected`."""
    figures: Mapping[str, float]
    """By metric; none where nothing is known of what is right."""


def answer_and_judge(opened: Opened, judge: Judge, asked: EvaluationSet, batch: int = 1) -> Judged:
    """Ask an opened model, one by one or in padded batches, and judge what it says.

    Raises:
        EdgedistillError: it cannot be run, or gives what cannot be compared.
    """
    return judged(judge, opened.answers(asked.items, asked.chosen, batch), asked)


def judged(judge: Judge, answers: Answers, asked: EvaluationSet) -> Judged:
    """Judge answers to the items asked.

    Raises:
        EdgedistillError: they cannot be compared with those expected.
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
    """How closely answers repeat those expected."""
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
    """The decisions in which a model differs from the one that it should repeat, as a person reads them; none of a
    task that has too many.

    Args:
        names: of the labels.
        show: an example by its number.
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
    """(D, K) all numbers of each decision that are not whole ones."""
    parts = [np.asarray(array) for array in answers.values.values() if np.issubdtype(array.dtype, np.floating)]
    return np.concatenate([part.reshape(len(answers), -1) for part in parts], axis=1)


def some_examples(items: Items, take: int | None) -> Integers:
    """Numbers of all items of `take` examples, evenly spread; None: of all."""
    examples = np.unique(items.example)
    return items.of_examples(examples[evenly_spaced(len(examples), take)])


def _of_chosen(given: Given | None, chosen: Integers | None) -> Given | None:
    return given if given is None or chosen is None else given.of_items(chosen)
