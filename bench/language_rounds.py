"""Several rounds against one, and against no teacher, each for as long as all rounds took; teachers' signals count."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import yaml

from bench.language_arms import (
    SPLITS,
    Given,
    Part,
    books,
    changed,
    evaluate,
    gain,
    judged,
    passes,
    row,
    step_seconds,
    subset,
    trained,
    with_interval,
)
from bench.record import Goal
from bench.trees import Tree, mapping, mappings, whole
from edgedistill import EvaluatedRun
from edgedistill.evaluation.statistics import Paired
from edgedistill.recipe.reading import shipped
from edgedistill.store.records.models import Signal

SEEDS = (0, 1, 2)
ROUNDS, ONE, ALONE = "all rounds", "one round", "no teacher"


def stories_recipe(seed: int = 0) -> Tree:
    """The shipped recipe, from any folder."""
    file = shipped()["stories"]
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    paths = {split: {"path": str(file.parent / tree["data"][split]["path"])} for split in SPLITS}
    teacher = {"model": str(file.parent / tree["teacher"]["model"])}
    return {**tree, "seed": seed, "data": {**tree["data"], **paths}, "teacher": teacher}


def rounds_of_stories(given: Given) -> Part:
    """On several seeds."""
    narrow = {"init": "narrow", "from": "teacher", "layers": 2, "hidden_size": 40, "heads": 8, "intermediate_size": 112}
    each = [_compared(given, "stories", changed(stories_recipe(seed), control=False), narrow, seed) for seed in SEEDS]
    return _part("stories", each)


def rounds_of_books(given: Given) -> Part:
    """On a part of the books' rows."""
    data = {**mapping(books(given), "data"), "train": {"path": str(subset(given, "train", given.rows["rounds"]))}}
    tree = changed(books(given), data=data, control=False)
    first, *_, last = mappings(tree, "rounds")
    shrunk = {**mapping(first, "student"), "parameters": mapping(last, "student")["parameters"]}
    return _part("books", [_compared(given, "books", tree, shrunk, 0)])


@dataclass(frozen=True)
class _Compared:
    """The arms of one seed."""

    rows: list[Tree]
    gains: Mapping[str, Paired]
    """Of the rounds over each other arm."""


def _compared(given: Given, part: str, tree: Tree, student: Tree, seed: int) -> _Compared:
    """The last round's student, made in rounds, in one longer round from the teacher, and from random weights on next
    tokens alone.

    Args:
        student: of one round.
    """
    name = f"{part}-rounds-{seed}"
    rounds = evaluate(tree, given, name)
    models = [str(round_["id"]) for round_ in mappings(tree, "rounds")]
    *between, last = models
    last_seconds = rounds.training(last).train_seconds
    taught = _recorded(given, name, "teacher")
    seconds = sum(rounds.training(model).train_seconds for model in models)
    seconds += sum(_recorded(given, name, model) for model in between)
    shape = rounds.model_folder(last).resolve()
    arms = {
        ONE: _directly(tree, student, seconds / last_seconds),
        ALONE: from_scratch(tree, shape, last, round(passes(tree, last) * (seconds + taught) / last_seconds)),
    }
    rows = [_row(part, seed, ROUNDS, rounds, last, seconds + taught)]
    gains: dict[str, Paired] = {}
    for arm, recipe in arms.items():
        found = evaluate(recipe, given, f"{part}-{arm.replace(' ', '-')}-{seed}")
        own = found.training("one").train_seconds
        rows.append(_row(part, seed, arm, found, "one", own + (taught if arm == ONE else 0)))
        gains[arm] = gain(rounds, last, found, "one")
    return _Compared(rows, gains)


def _recorded(given: Given, name: str, model: str) -> float:
    """Seconds in which a teacher's signals on the training data were recorded, of whichever kind."""
    return sum(step_seconds(given, [name], f"{signal}-{model}-train") for signal in get_args(Signal))


def _directly(tree: Tree, student: Tree, times: float) -> Tree:
    """One round from the teacher, so many times longer than the last one."""
    first, *_, last = mappings(tree, "rounds")
    stages = [{**stage, "epochs": round(whole(stage, "epochs") * times)} for stage in mappings(last, "stages")]
    return changed(tree, rounds=[{**first, "id": "one", "student": student, "stages": stages}])


def from_scratch(tree: Tree, model: Path, round_id: str, epochs: int) -> Tree:
    """A model's shape and tokens, from random weights, on next tokens alone, trained like that round's last stage."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    keys = {"layers": "num_hidden_layers", "heads": "num_attention_heads", "key_value_heads": "num_key_value_heads"}
    keys |= {name: name for name in ("hidden_size", "intermediate_size")}
    shape = {name: config[key] for name, key in keys.items()}
    shape["head_size"] = config.get("head_dim") or shape["hidden_size"] // shape["heads"]
    (like,) = [round_ for round_ in mappings(tree, "rounds") if round_["id"] == round_id]
    stage = {**mappings(like, "stages")[-1], "epochs": epochs, "losses": [{"kind": "hard_label"}]}
    alone = {"id": "one", "student": {"init": "scratch", "from": "teacher", **shape}, "stages": [stage]}
    return changed(tree, teacher={"model": str(model)}, rounds=[alone], control=False)  # it would be the same


def _row(part: str, seed: int, name: str, found: EvaluatedRun, model: str, seconds: float) -> Tree:
    figure = judged(found, model, "bits_per_byte")
    known = {**trained(found, model), "seconds": seconds}
    shown = with_interval(figure.value, figure.low, figure.high)
    return row(f"{part}-rounds", name, **known, note=f"seed {seed}", **{"bits per byte [95% CI]": shown})


def _part(part: str, each: Sequence[_Compared]) -> Part:
    """A goal for each other arm: met if the rounds are better on every seed, outside the interval."""
    goals = []
    for arm in (ONE, ALONE):
        paired = [compared.gains[arm] for compared in each]
        shown = ", ".join(with_interval(one.gain, one.interval.low, one.interval.high, "+") for one in paired)
        mean = np.mean([one.gain for one in paired])
        goal = f"{part}: {ROUNDS} are better than {arm} at equal total cost"
        goals.append(Goal(goal, f"{mean:+.4f} bits per byte: {shown}", all(one.interval.low > 0 for one in paired)))
    return Part([line for compared in each for line in compared.rows], goals)
