"""Trains and evaluates the models of a recipe, without device files: what benches compare. Arms that share a run folder
share the teacher and what it said; a killed bench goes on where it was."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml
from datasets import Dataset

from edgedistill import loading, plugins, sources
from edgedistill.artifacts import Artifact
from edgedistill.data import PreparedData, pad_token, to_ragged, tokenise
from edgedistill.engine import execute
from edgedistill.inference import predict, references
from edgedistill.models import load_model, load_tokenizer
from edgedistill.planning import make_plan
from edgedistill.progress import Progress
from edgedistill.signals import load_rows
from edgedistill.statistics import RESAMPLES

Tree = dict[str, object]
_TRAINING = frozenset(
    {
        "prepare_data",
        "prepare_split",
        "retokenise_split",
        "train_teacher",
        "augment_text",
        "retokenise",
        "record_signals",
        "distil",
        "choose_teacher",
        "evaluate",
    }
)


@dataclass(frozen=True)
class Trained:
    """The artifacts of one arm, by step."""

    artifacts: Mapping[str, Artifact]
    seeds: tuple[int, ...]
    task: str = "text-classification"

    def logits(self, model: str, split: str = "test") -> np.ndarray:
        """(N, C) what a model says of a split."""
        step = f"{'test' if split == 'test' else 'evaluate'}-{model}"
        return np.array(load_rows(self.artifacts[step].path(f"{split}.safetensors")).values)

    def answers(self, model: str, texts: Sequence[str]) -> np.ndarray:
        """(N, C) what a model says of texts that are in none of the splits."""
        task = plugins.find("tasks", self.task)
        folder = self.artifacts[model].path("model")
        own, tokenizer = load_model(task.auto_class(), folder, None), load_tokenizer(folder)
        columns = {key: key for key in task.COLUMNS.required}
        tokens = tokenise(
            Dataset.from_dict({"text": list(texts)}), task, columns | {"label": "label"}, tokenizer, {}, 64
        )
        return np.array(predict(own, task, to_ragged(tokens, pad_token(tokenizer))).values)

    def labels(self, data: str = "data", split: str = "test") -> np.ndarray:
        """(N,) label ids."""
        place = self.artifacts[data if split == "train" else f"{data}-{split}"].folder
        tokens = PreparedData(self.artifacts[data].folder, {split: place}).tokens(split)
        return references(plugins.find("tasks", self.task), tokens)

    def right(self, model: str, data: str = "data") -> np.ndarray:
        """(S, N) 1 where a round's model (`small`, `small-control`) of each seed is right on test."""
        labels = self.labels(data)
        decided = [self.logits(model + suffix).argmax(axis=1) for suffix in self.suffixes]
        return np.stack([decisions == labels for decisions in decided]).astype(float)

    @property
    def suffixes(self) -> list[str]:
        """Of the steps of each seed."""
        return ["", *(f"-seed{seed}" for seed in self.seeds[1:])]

    def training(self, model: str) -> dict[str, object]:
        """What is known of a model's training: parameters, seconds, epochs."""
        return self.artifacts[model].read_json("training.json")


def train(tree: Tree, out: Path, overrides: Sequence[str] = ()) -> Trained:
    """Do the training and evaluation that a recipe plans."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        recipe = loading.load(str(file), overrides)
    plan = make_plan(recipe, sources.look_up(recipe, download=True))
    plan = replace(plan, steps=tuple(step for step in plan.steps if step.kind in _TRAINING))
    out.mkdir(parents=True, exist_ok=True)
    return Trained(execute(plan, out, Progress(out / "events.jsonl", sys.stderr)), (recipe.seed, *recipe.seeds))


@dataclass(frozen=True)
class Gain:
    """The mean difference of two arms over seeds and items, with its 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def gain(one: np.ndarray, other: np.ndarray, seed: int = 0) -> Gain:
    """Of `one` (S, N) over `other` (S, N), right or wrong on the same items: a bootstrap over seeds and items, paired.

    Both are drawn anew in each resample, so that the interval holds the luck of a seed as well as that of the items.
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
