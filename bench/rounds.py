"""Do several rounds give a better small model than one? Small students, equal total steps, several seeds.

    python -m bench.rounds --data DIR --teacher FOLDER --tiny FOLDER --out DIR [--datasets clinc150] [--seeds 0 1 2]

DIR holds `clinc150/` and `banking77/`, each with train, validation and test.jsonl. Everything of one data set shares a
run folder: the teacher is fine-tuned once, and what it says of the texts and of their views is recorded once; a killed
bench resumes where it stopped.

Arms, each ending in the same 2 layers x 128 (4.4M parameters): the control (labels only), one round from the teacher,
two rounds (through 3 layers x 192), three rounds (through 3 layers x 192 and 2 layers x 192), with the same total of
epochs over all rounds, on the texts and the same augmented views. The student is a pretrained BERT (`pretrained`), or
is cut from the model before it (`cut`). Each pretrained arm goes on to a student below 1.5M parameters (`trimmed`):
the same with only the tokens of its texts, trained for one epoch more. `--longer` adds the one round to the
pretrained student, and its control, with that many times the steps: the same views, seen that much oftener.
`--more-views` adds the one round of the student cut from its teacher, and its control, with that many times the steps
and the views: as many epochs as before, of other views.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import edgedistill
from bench.arms import gain, right_on_test, train
from bench.record import Goal, record
from bench.trees import Tree

VIEWS: Tree = {"copies": 2, "delete": 0.1, "mask": 0.1, "swap": 0.02, "typo": 0.03, "join": 0.3}
LOSSES = {"control": [{"kind": "hard_label"}], "taught": [{"kind": "kl", "temperature": 2.0}]}
MIDDLE: list[Tree] = [{"hidden_size": 192, "layers": 3}, {"hidden_size": 192, "layers": 2}]
SHARES = {1: [3], 2: [1, 2], 3: [1, 1, 1]}
"""Epochs of each round, by the number of rounds; an epoch is every text and its views once."""
CUT: Tree = {"init": "narrow", "hidden_size": 128, "layers": 2, "heads": 4}
KEPT = {
    ("clinc150", "4.4M"): 0.98,
    ("banking77", "4.4M"): 0.97,
    ("clinc150", "1.5M"): 0.95,
    ("banking77", "1.5M"): 0.95,
}
"""Share of the teacher's accuracy that a student should retain."""


def stage(epochs: int, learning_rate: float, losses: str = "taught", more_views: int = 1) -> Tree:
    return {
        "name": "soft-targets",
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": 128,
        "dropout": 0.0,
        "augment": {**VIEWS, "copies": views(more_views) - 1},
        "losses": LOSSES[losses],
    }


def views(more_views: int) -> int:
    """Of every text in an epoch, the text itself among them."""
    return more_views * (1 + int(str(VIEWS["copies"])))


def rounds(count: int, student: str, tiny: Path, longer: int = 1, more_views: int = 1) -> list[Tree]:
    """The rounds of one arm; none is the control."""
    found: list[Tree] = []
    before = "teacher"
    shares = [share * longer for share in SHARES[max(1, count)]]
    for number, epochs in enumerate(shares[:-1]):
        name = f"m{number + 1}"
        made = {"init": "narrow", "from": before, **MIDDLE[number]}
        found.append(
            {"id": name, "teacher": before, "student": made, "stages": [stage(epochs, 2e-3, "taught", more_views)]}
        )
        before = name
    losses = "taught" if count else "control"
    small: Tree = {"init": "checkpoint", "model": str(tiny)} if student == "pretrained" else {**CUT, "from": before}
    stages = [stage(shares[-1], 3e-3, losses, more_views)]
    found.append({"id": "small", "teacher": before, "student": small, "stages": stages})
    if student == "pretrained":
        trimmed: Tree = {"init": "trim_vocabulary", "from": "small"}
        stages = [stage(1, 1e-3, losses)]
        found.append({"id": "trimmed", "teacher": "teacher", "student": trimmed, "stages": stages})
    return found


def base(dataset: str, data: Path, teacher: Path, rounds_: list[Tree], seeds: list[int]) -> Tree:
    """The recipe around some rounds."""
    files: Tree = {name: {"path": str(data / dataset / f"{name}.jsonl")} for name in ("train", "validation", "test")}
    return {
        "schema": "edgedistill/1",
        "name": "rounds",
        "seed": seeds[0],
        "seeds": seeds[1:],
        "task": {"type": "text-classification", "metric": "accuracy"},
        "data": {**files, "max_length": 64},
        "teacher": {
            "model": str(teacher),
            "fine_tune": {"epochs": 6 if dataset == "banking77" else 5, "learning_rate": 2.0e-4, "batch_size": 64},
        },
        "rounds": rounds_,
        "control": False,
        "measure": {"min_seconds": 0.1},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "teacher", "tiny", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--datasets", nargs="+", default=["clinc150", "banking77"])
    parser.add_argument("--students", nargs="+", default=["pretrained", "cut"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--longer", nargs="+", type=int, default=[])
    parser.add_argument("--more-views", nargs="+", type=int, default=[])
    parser.add_argument("--name", default="rounds", help="of the file in bench/results")
    given = parser.parse_args()
    rows: list[Tree] = []
    for dataset in given.datasets:
        budgets = [
            *((student, (0, 1, 2, 3), 1, 1) for student in given.students),
            *(("pretrained", (0, 1), longer, 1) for longer in given.longer),
            *(("cut", (0, 1), 1, more) for more in given.more_views),
        ]
        for student, counts, longer, more_views in budgets:
            arms: dict[int, edgedistill.EvaluatedRun] = {}
            for count in counts:
                planned = rounds(count, student, given.tiny, longer, more_views)
                arms[count] = train(base(dataset, given.data, given.teacher, planned, given.seeds), given.out / dataset)
            rows += table(dataset, student, longer, more_views, arms)
            record(given.name, rows, goals(rows))


def table(
    dataset: str, student: str, longer: int, more_views: int, arms: dict[int, edgedistill.EvaluatedRun]
) -> list[Tree]:
    """The rows of one student: its control and every number of rounds."""
    found: list[Tree] = []
    for model in ("small", "trimmed") if student == "pretrained" else ("small",):
        right = {count: right_on_test(arm, model) for count, arm in arms.items()}
        teacher = float(
            (arms[1].said("teacher").values["logits"].argmax(axis=1) == arms[1].references().values["class"]).mean()
        )
        for count, arm in arms.items():
            accuracies = right[count].mean(axis=1)
            found.append(
                {
                    "data": dataset,
                    "student": f"{student}, trimmed" if model == "trimmed" else student,
                    "rounds": "control" if count == 0 else count + (model == "trimmed"),
                    "views": views(more_views),
                    "passes": (sum(SHARES[1]) * longer + (model == "trimmed")) * views(more_views),
                    "parameters": arm.training(model).parameters,
                    "teacher": teacher,
                    "accuracy": float(accuracies.mean()),
                    "sd": float(accuracies.std(ddof=1)) if len(accuracies) > 1 else None,
                    "kept": float(accuracies.mean()) / teacher,
                    "gain over control [95% CI]": (str(gain(right[count], right[0])) if count and 0 in right else None),
                    "gain over one round [95% CI]": None if count < 2 else str(gain(right[count], right[1])),
                    "by seed": [round(float(value), 4) for value in accuracies],
                }
            )
    return found


def goals(rows: list[Tree]) -> list[Goal]:
    """The goals of the bench, on what has run so far."""
    found = []
    for (dataset, size), share in KEPT.items():
        own = [row for row in rows if row["data"] == dataset and ("trimmed" in str(row["student"])) == (size == "1.5M")]
        taught = [row for row in own if row["rounds"] != "control"]
        if not taught:
            continue
        best = max(taught, key=lambda row: float(str(row["kept"])))
        kept = float(str(best["kept"]))
        which = f"{best['student']}, {best['rounds']} rounds, {best['passes']} passes of {best['views']} views"
        goal = f"the {size} student keeps >= {share:.0%} of the teacher's accuracy on {dataset}"
        found.append(Goal(goal, f"{kept:.1%} ({which})", kept >= share))
        held = [row for row in taught if row["gain over control [95% CI]"]]
        best = max(held, key=lambda row: float(str(row["kept"])))
        gained = str(best["gain over control [95% CI]"])
        ahead = float(gained.split("[")[1].split(",")[0]) > 0
        shown = f"{gained} ({best['student']}, {best['rounds']} rounds, {best['passes']} passes)"
        found.append(
            Goal(f"the {size} student is ahead of its control outside the interval on {dataset}", shown, ahead)
        )
        several = [row for row in own if row["gain over one round [95% CI]"]]
        if several:
            best = max(several, key=lambda row: float(str(row["accuracy"])))
            gained = str(best["gain over one round [95% CI]"])
            better = float(gained.split("[")[1].split(",")[0]) > 0
            shown = f"{gained} ({best['student']}, {best['rounds']} rounds, {best['passes']} passes)"
            found.append(Goal(f"several rounds are better than one for the {size} student on {dataset}", shown, better))
    return found


if __name__ == "__main__":
    main()
