"""Three rounds of the recipe `stories` against one, and against no teacher, each for as long as all three took."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import yaml

from bench.language_arms import SPLITS, Given, Part, changed, evaluate, gain, judged, row, trained, with_interval
from bench.record import Goal
from bench.trees import Tree, mappings, whole
from edgedistill import EvaluatedRun
from edgedistill.evaluation.statistics import Paired
from edgedistill.recipe.reading import shipped

SEEDS = (0, 1, 2)
_SHAPE = {"hidden_size": 40, "heads": 8, "intermediate_size": 112}
"""Of the last round's student, in the recipe."""
ONE, ALONE = "one round", "no teacher"


def stories_recipe(seed: int = 0) -> Tree:
    """The shipped recipe, from any folder."""
    file = shipped()["stories"]
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    paths = {split: {"path": str(file.parent / tree["data"][split]["path"])} for split in SPLITS}
    teacher = {"model": str(file.parent / tree["teacher"]["model"])}
    return {**tree, "seed": seed, "data": {**tree["data"], **paths}, "teacher": teacher}


def rounds_at_equal_cost(given: Given) -> Part:
    """The last round's student, made in three rounds, in one longer round from the teacher, and trained from random
    weights on next tokens alone; on several seeds."""
    rows: list[Tree] = []
    gains: dict[str, list[Paired]] = {ONE: [], ALONE: []}
    for seed in SEEDS:
        tree = changed(stories_recipe(seed), control=False)
        rounds = evaluate(tree, given, f"rounds-{seed}")
        last = str(mappings(tree, "rounds")[-1]["id"])
        seconds = [rounds.training(str(round_["id"])).train_seconds for round_ in mappings(tree, "rounds")]
        arms = {ONE: _directly(tree, seconds), ALONE: _from_scratch(tree, seconds)}
        rows.append(_row(seed, "three rounds", rounds, last, sum(seconds)))
        for name, arm in arms.items():
            found = evaluate(arm, given, f"{name.replace(' ', '-')}-{seed}")
            rows.append(_row(seed, name, found, "one", found.training("one").train_seconds))
            gains[name].append(gain(rounds, last, found, "one"))
    return Part(rows, [_goal(name, paired) for name, paired in gains.items()])


def _directly(tree: Tree, seconds: Sequence[float]) -> Tree:
    """One round from the teacher, as many times longer than the last one as all are together."""
    first, *_, last = mappings(tree, "rounds")
    stages = [
        {**stage, "epochs": round(whole(stage, "epochs") * sum(seconds) / seconds[-1])}
        for stage in mappings(last, "stages")
    ]
    student = {"init": "narrow", "from": "teacher", "layers": 2, **_SHAPE}
    return changed(tree, rounds=[{**first, "id": "one", "student": student, "stages": stages}])


def _from_scratch(tree: Tree, seconds: Sequence[float]) -> Tree:
    """The same shape from random weights, on next tokens alone."""
    first, *_ = mappings(_directly(tree, seconds), "rounds")
    stages = mappings(first, "stages")
    epochs = sum(whole(stage, "epochs") for stage in stages)
    shape = {"layers": 2, **_SHAPE, "key_value_heads": 4, "head_size": 8}
    alone = {
        "id": "one",
        "student": {"init": "scratch", "from": "teacher", **shape},
        "stages": [{**stages[-1], "epochs": epochs, "losses": [{"kind": "hard_label"}]}],
    }
    return changed(tree, rounds=[alone])


def _row(seed: int, name: str, found: EvaluatedRun, model: str, seconds: float) -> Tree:
    figure = judged(found, model, "bits_per_byte")
    known = {**trained(found, model), "seconds": seconds}
    shown = with_interval(figure.value, figure.low, figure.high)
    return row("stories-rounds", name, **known, note=f"seed {seed}", **{"bits per byte [95% CI]": shown})


def _goal(name: str, paired: Sequence[Paired]) -> Goal:
    """Met if the rounds are better on every seed, outside the interval."""
    each = ", ".join(with_interval(one.gain, one.interval.low, one.interval.high, "+") for one in paired)
    mean = np.mean([one.gain for one in paired])
    ahead = all(one.interval.low > 0 for one in paired)
    goal = f"stories: three rounds are better than {name} at equal total cost"
    return Goal(goal, f"{mean:+.4f} bits per byte: {each}", ahead)
