"""Do several rounds give a better small model than one? One small student, the same total of epochs, several seeds.

    python -m bench.rounds --data DIR --teacher FOLDER --tiny FOLDER --out DIR [--datasets clinc150] [--seeds 0 1 2]

DIR holds `clinc150/` and `banking77/`, each with train, validation and test.jsonl. The arms share the run folder: the
teacher is fine-tuned once and its signals are recorded once; a killed bench goes on where it was.

Arms, each ending in the same 2 layers x 128 (4.4M parameters): the control (labels only), one round from the teacher,
two rounds (through 3 layers x 192), three rounds (through 3 layers x 192 and 2 layers x 192), with 20 epochs over all
rounds. The student is the pretrained tiny BERT (`pretrained`) or is cut from the model before it (`cut`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml

import edgedistill
from bench.record import Goal, record
from edgedistill.results import Results, RoundResult

KL = {"kind": "kl", "temperature": 2.0, "weight": 0.9}
HARD = {"kind": "hard_label", "weight": 0.1}
MIDDLE = [{"hidden_size": 192, "layers": 3}, {"hidden_size": 192, "layers": 2}]
SHARES = {1: [20], 2: [6, 14], 3: [4, 4, 12]}
"""Epochs of each round, by the number of rounds."""
KEPT = {"clinc150": 0.98, "banking77": 0.97}
"""Share of the teacher's accuracy that the 4.4M student should keep."""


def stage(epochs: int, learning_rate: float) -> dict[str, object]:
    return {
        "name": "soft-targets",
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": 64,
        "losses": [KL, HARD],
    }


def rounds(count: int, student: str, tiny: Path) -> list[dict[str, object]]:
    """The rounds of one arm."""
    found: list[dict[str, object]] = []
    before = "teacher"
    for number, epochs in enumerate(SHARES[count][:-1]):
        made = {"init": "narrow", "from": before, **MIDDLE[number]}
        name = f"m{number + 1}"
        found.append({"id": name, "teacher": before, "student": made, "stages": [stage(epochs, 1e-3)]})
        before = name
    small: Mapping[str, object] = {"init": "checkpoint", "model": str(tiny)}
    if student == "cut":
        small = {"init": "narrow", "from": before, "hidden_size": 128, "layers": 2, "heads": 4}
    last = [stage(SHARES[count][-1], 2e-3 if student == "cut" else 1e-3)]
    found.append({"id": "small", "teacher": before, "student": dict(small), "stages": last})
    return found


def recipe(
    dataset: str, data: Path, teacher: Path, arm: list[dict[str, object]], seeds: list[int]
) -> dict[str, object]:
    banking = dataset == "banking77"
    return {
        "schema": "edgedistill/1",
        "name": "rounds",
        "seed": seeds[0],
        "seeds": seeds[1:],
        "task": {"type": "text-classification", "metric": "accuracy"},
        "data": {
            **{name: {"path": str(data / dataset / f"{name}.jsonl")} for name in ("train", "validation", "test")},
            "max_length": 64,
        },
        "teacher": {
            "model": str(teacher),
            "fine_tune": {"epochs": 6 if banking else 5, "learning_rate": 2.0e-4, "batch_size": 64},
        },
        "rounds": arm,
        "export": {"targets": ["onnx"], "teacher": False},
        "quantize": [{"precision": "int8-dynamic"}],
        "measure": {"min_seconds": 0.1},
    }


def row(dataset: str, student: str, count: int, results: Results, each: RoundResult) -> dict[str, object]:
    accuracies = [seed.accuracy for seed in each.seeds] or [each.accuracy]
    controls = [seed.control_accuracy for seed in each.seeds if seed.control_accuracy is not None]
    if each.control_accuracy is not None and not controls:
        controls = [each.control_accuracy]
    gains = [a - c for a, c in zip(accuracies, controls, strict=True)]
    return {
        "data": dataset,
        "student": student,
        "rounds": count,
        "parameters": each.parameters,
        "teacher": results.teacher.accuracy,
        "accuracy": float(np.mean(accuracies)),
        "sd": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        "control": float(np.mean(controls)),
        "gain": float(np.mean(gains)),
        "gain, first seed [95% CI]": list(each.gain_over_control_ci or ()),
        "kept": float(np.mean(accuracies)) / results.teacher.accuracy,
        "by seed": [round(value, 4) for value in accuracies],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "teacher", "tiny", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--datasets", nargs="+", default=["clinc150", "banking77"])
    parser.add_argument("--students", nargs="+", default=["pretrained", "cut"])
    parser.add_argument("--rounds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    rows: list[dict[str, object]] = []
    for dataset in given.datasets:
        for student in given.students:
            for count in given.rounds:
                tree = recipe(dataset, given.data, given.teacher, rounds(count, student, given.tiny), given.seeds)
                with tempfile.TemporaryDirectory() as folder:
                    file = Path(folder) / "recipe.yaml"
                    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
                    results = edgedistill.run(str(file), out=given.out / dataset)
                small = next(each for each in results.rounds if each.id == "small")
                rows.append(row(dataset, student, count, results, small))
                record("rounds", rows, goals(rows))


def goals(rows: list[dict[str, object]]) -> list[Goal]:
    """The goals of the bench, on what has run so far."""
    found = []
    for dataset in dict.fromkeys(str(each["data"]) for each in rows):
        best = max((each for each in rows if each["data"] == dataset), key=lambda each: float(str(each["kept"])))
        kept, share = float(str(best["kept"])), KEPT[dataset]
        which = f"{best['student']}, {best['rounds']} rounds"
        goal = f"the 4.4M student keeps >= {share:.0%} of the teacher's accuracy on {dataset}"
        found.append(Goal(goal, f"{kept:.1%} ({which})", kept >= share))
        interval = best["gain, first seed [95% CI]"]
        assert isinstance(interval, list)
        ahead = bool(interval) and interval[0] > 0
        shown = (
            f"{float(str(best['gain'])):+.4f} [{interval[0]:+.4f}, {interval[1]:+.4f}]" if interval else "no control"
        )
        found.append(Goal(f"it is ahead of its control outside the interval on {dataset}", shown, ahead))
    return found


if __name__ == "__main__":
    main()
