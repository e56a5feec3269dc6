"""Tests whether a model's answers are better than chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgedistill.arrays import Integers, positions
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.judge import Judge
from edgedistill.contracts.metric import Metric

_SHUFFLES = 2000
_LEVEL = 0.05


@dataclass(frozen=True)
class AgainstChance:
    """A metric compared with its chance level."""

    metric: str
    figure: float
    expected: float
    """The mean over random orders."""
    p: float
    """Share of random orders (or of resamples, with guessing) that are at least as good."""
    cases: int | None
    """The number of cases behind a share of right answers: decisions or whole examples."""
    guessed: bool = False
    """Whether `expected` comes from guessing (`Judge.guess`) instead of random orders."""

    @property
    def at_chance(self) -> bool:
        """Whether the model is not significantly better than chance, at the 5% level."""
        return self.p > _LEVEL

    def beside(self, where: str) -> str:
        """The end of a sentence about a model: its figure on a split (`test`), and the chance level."""
        other = "guessing" if self.guessed else "the same answers in random order"
        if self.cases is not None:
            right, expected = self.figure * self.cases, self.expected * self.cases
            return f"is right in {right:.0f} of {self.cases} cases on {where}, {other} in {expected:.1f}"
        return f"has a {self.metric} of {self.figure:.4f} on {where}, {other} {self.expected:.4f}"


def against_chance(metric: str, judge: Judge, answers: Answers, references: References, seed: int = 0) -> AgainstChance:
    """Compare a model with the chance level of its own answers, by permutation.

    The chance level is the metric of the same answers in random order: for accuracy the agreement that Cohen's kappa
    (1960) corrects for, 1/C for a balanced set, and the share of the most frequent class for a model that always
    predicts it. That share alone would not do: if 95% of labels are equal, a model that finds most of the others may be
    less accurate than one that finds none. A model counts as at chance unless fewer than 5% of 2,000 random orders are
    as good (one-sided permutation test), so one with random weights passes one time in twenty, and a perfect one needs
    about six examples.

    Whole examples are permuted, among those with equal numbers of decisions. Answers that cannot be permuted are
    compared with guessing, using 2,000 paired resamples of the examples.
    """
    measure = judge.metrics[metric]
    if judge.guess is not None:
        return _against_guess(measure, answers, judge.guess(references), references, seed)
    said: Answers = answers if judge.as_references is None else judge.as_references(answers)
    kept = np.isin(references.example, references.examples)
    said, asked = said.where(kept), references.where(kept)
    rows = measure.statistics(said, asked)
    figure = measure.figure(rows)
    generator = np.random.default_rng(seed)
    groups = _interchangeable(asked)
    shuffled = np.array([measure.score(_shuffled(said, groups, generator), asked) for _ in range(_SHUFFLES)])
    at_least = int((shuffled >= figure).sum() if measure.direction == "higher" else (shuffled <= figure).sum())
    p = (1 + at_least) / (1 + _SHUFFLES)
    return AgainstChance(metric, figure, float(shuffled.mean()), p, int(rows[:, 1].sum()) if measure.shares else None)


def _against_guess(
    metric: Metric, answers: Answers, guess: Answers, references: References, seed: int
) -> AgainstChance:
    own, other = (metric.statistics(prediction, references) for prediction in (answers, guess))
    generator = np.random.default_rng(seed)
    drawn = [generator.integers(0, len(own), len(own)) for _ in range(_SHUFFLES)]
    as_good = sum(not metric.better(metric.figure(own[rows]), metric.figure(other[rows])) for rows in drawn)
    return AgainstChance(
        metric=metric.name,
        figure=metric.figure(own),
        expected=metric.figure(other),
        p=(1 + as_good) / (1 + _SHUFFLES),
        cases=int(own[:, 1].sum()) if metric.shares else None,
        guessed=True,
    )


def _interchangeable(references: References) -> list[Integers]:
    """(examples, decisions) indices of the decisions, grouped by examples with equal numbers of them."""
    counts = np.bincount(references.example)
    groups = []
    for size in np.unique(counts[counts > 0]):
        examples = np.flatnonzero(counts == size)
        groups.append(positions(references.example, examples).reshape(len(examples), size))
    return groups


def _shuffled(answers: Answers, groups: list[Integers], generator: np.random.Generator) -> Answers:
    """The answers with examples permuted."""
    origin = np.arange(len(answers))
    for group in groups:
        origin[group.ravel()] = group[generator.permutation(len(group))].ravel()
    values = {name: np.asarray(array)[origin] for name, array in answers.values.items()}
    return Answers(values, answers.item, answers.example)
