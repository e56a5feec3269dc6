"""Trains and evaluates the models of a recipe, and compares two of them over seeds and items. Arms that share a run
folder share the teacher and its signals; a killed bench resumes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

import edgedistill
from bench.trees import Tree

RESAMPLES = 2000


def train(tree: Tree, out: Path) -> edgedistill.EvaluatedRun:
    """Run the training and evaluation steps of a recipe."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        return edgedistill.evaluate(str(file), out=out)


def right_on_test(trained: edgedistill.EvaluatedRun, model: str) -> np.ndarray:
    """(S, N) 1 where a round's model (`small`, `small-control`) of each seed is right on test."""
    labels = trained.references().values["class"]
    decided = [trained.said(model + suffix).values["logits"].argmax(axis=1) for suffix in trained.suffixes]
    return np.stack([decisions == labels for decisions in decided]).astype(float)


@dataclass(frozen=True)
class Gain:
    """The mean difference of two arms over seeds and items, with its 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def gain(one: np.ndarray, other: np.ndarray, seed: int = 0) -> Gain:
    """Gain of `one` (S, N) over `other` (S, N), right or wrong on the same items: a paired bootstrap over seeds and
    items.

    Both are resampled, so the interval covers the variation of seeds and of items.
    """
    difference = one - other
    seeds, items = difference.shape
    generator = np.random.default_rng(seed)
    draws = np.empty(RESAMPLES)
    for k in range(RESAMPLES):
        chosen = difference[generator.integers(0, seeds, seeds)].mean(axis=0)
        draws[k] = chosen[generator.integers(0, items, items)].mean()
    low, high = np.percentile(draws, [2.5, 97.5])
    return Gain(float(difference.mean()), float(low), float(high))
