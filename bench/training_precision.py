"""From which width do models train faster in bf16 than in fp32 on this CPU? `compute.precision: auto` follows it.

    python -m bench.training_precision [--widths 64 128 192 256 384] [--repeats 3]

Each arm is a whole stage of edgedistill: two layers of that width, from random weights, learn the labels of the
quickstart for one epoch in batches of 64. The two precisions take turns, in an order that is drawn again in each
repeat; each repeat has a seed of its own. Seconds are those of the epoch. The data and the teacher, which only gives
the vocabulary, are made once.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

import edgedistill
from bench.record import Goal, record

PRECISIONS = ("fp32", "bf16")
HEAD = 32


def recipe_of(width: int) -> dict[str, object]:
    """A recipe that trains one student of this width."""
    student = {"init": "scratch", "from": "teacher", "layers": 2, "hidden_size": width, "heads": width // HEAD}
    stage = {"name": "labels", "epochs": 1, "batch_size": 64, "learning_rate": 1e-3, "losses": [{"kind": "hard_label"}]}
    return {
        "extends": "quickstart",
        "rounds": [{"id": "r1", "teacher": "teacher", "student": student, "stages": [stage]}],
        "control": False,
    }


def trained(recipe: Path, precision: str, seed: int, folder: Path) -> tuple[str, float, float]:
    """How a student was trained, the seconds of its epoch, and its metric on validation."""
    out = folder / f"{recipe.stem}-{precision}-{seed}"
    name = f"labels{seed}"  # a stage's seed is derived from its name
    settings = [f"compute.precision={precision}", f"rounds.0.stages.0.name={name}"]
    edgedistill.evaluate(str(recipe), settings, out=out, store=folder / "store")
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    [epoch] = [event for event in events if event["event"] == "epoch" and event["stage"] == name]
    return epoch["compute"], float(epoch["seconds"]), float(epoch["metric"])


def main(words: Sequence[str] | None = None) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="python -m bench.training_precision", description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 192, 256, 384])
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args(words)
    rng = random.Random(0)
    arms = [(width, precision) for width in chosen.widths for precision in PRECISIONS]
    seconds: dict[tuple[int, str], list[float]] = {arm: [] for arm in arms}
    metrics: dict[tuple[int, str], list[float]] = {arm: [] for arm in arms}
    picked: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        recipes = {width: folder / f"width{width}.yaml" for width in chosen.widths}
        for width, file in recipes.items():
            file.write_text(yaml.safe_dump(recipe_of(width)))
            picked[width] = trained(file, "auto", chosen.repeats, folder)[0]
        for repeat in range(chosen.repeats):
            for width, precision in rng.sample(arms, len(arms)):
                _, took, metric = trained(recipes[width], precision, repeat, folder)
                seconds[width, precision].append(took)
                metrics[width, precision].append(metric)
    rows, wrong = [], []
    for width in chosen.widths:
        ratios = np.sort(np.array(seconds[width, "fp32"]) / np.array(seconds[width, "bf16"]))
        row = {
            "width": width,
            **{f"{precision} s": float(np.median(seconds[width, precision])) for precision in PRECISIONS},
            **{f"{precision} accuracy": float(np.mean(metrics[width, precision])) for precision in PRECISIONS},
            "ratio": float(np.median(ratios)),
            "least": float(ratios[0]),
            "most": float(ratios[-1]),
            "auto": picked[width],
        }
        rows.append(row)
        slower = ratios[-1] < 1 if "bf16" in picked[width] else ratios[0] > 1
        if slower:
            wrong.append(f"{width}: {ratios[0]:.2f} to {ratios[-1]:.2f} and {picked[width]}")
    goal = Goal("auto never takes the precision that is slower in every repeat", "; ".join(wrong) or "never", not wrong)
    record("training_precision", rows, [goal])


if __name__ == "__main__":
    main()
