"""How much of the teacher's accuracy do files of at most 2.5 and 1.2 MB keep, tokenizer included?

    python -m bench.small_files --data DIR --teacher FOLDER --out DIR [--store DIR] [--datasets clinc150 banking77]

DIR holds `clinc150/` and `banking77/`, each with train, validation and test.jsonl. Both run the shipped recipe
`small-files`, whose sizes and steps were chosen on validation only; a killed bench resumes. The teacher is in fp32, as
PyTorch computes it; figures are on test, and gains are paired with it, with the intervals that reports have. Sizes are
those of the files on disk.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

import edgedistill
from bench.peers.compared import ACCURACY
from bench.record import Goal, record
from bench.trees import Tree, mappings
from edgedistill.arrays import Floats
from edgedistill.evaluation.statistics import compare
from edgedistill.recipe.reading import shipped

RECIPE = "small-files"
CHANGES: dict[str, list[str]] = {
    "clinc150": [],
    "banking77": [
        "data.max_length=64",
        "teacher.fine_tune.epochs=6",
        "teacher.fine_tune.learning_rate=2.0e-4",
        "teacher.fine_tune.batch_size=64",
    ],
}
"""What differs from the recipe as shipped, by data set."""
LEFT_OUT = {"clinc150": (), "banking77": ("larger-longer",)}
"""Rounds of the recipe that were not run, by data set."""
BARS = ((2.5, 0.99), (1.2, 0.97))
"""Megabytes (10^6 bytes) of a file with its tokenizer, and share of the teacher's accuracy to keep in them."""


@dataclass(frozen=True)
class Made:
    """A finished run, and which test texts each of its models and files gets right."""

    results: edgedistill.Results
    right: dict[str, Floats]
    """(E, 2) right or wrong, and 1, by candidate; of the teacher in PyTorch as `teacher`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "teacher", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--datasets", nargs="+", default=list(CHANGES))
    given = parser.parse_args()
    rows: list[Tree] = []
    for dataset in given.datasets:
        made = make(dataset, overrides(dataset, given.data, given.teacher), given.out / dataset, given.store)
        rows += table(dataset, made)
        record("small_files", rows, goals(rows))


def overrides(dataset: str, data: Path, teacher: Path) -> list[str]:
    """The recipe's values for one data set."""
    files = [f"data.{split}.path={data / dataset / split}.jsonl" for split in ("train", "validation", "test")]
    return [*files, f"teacher.model={teacher}", "teacher.revision=main", *CHANGES[dataset]]


def make(dataset: str, values: list[str], out: Path, store: Path | None) -> Made:
    """Run the recipe, or what is left of it."""
    tree = yaml.safe_load(shipped()[RECIPE].read_text(encoding="utf-8"))
    tree["rounds"] = [round_ for round_ in mappings(tree, "rounds") if round_["id"] not in LEFT_OUT[dataset]]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        results = edgedistill.run(str(file), values, out=out, store=store)
        trained = edgedistill.evaluate(str(file), values, out=out, store=store)
    labels = trained.references().values["class"]
    answers = {"teacher": trained.said("teacher")}
    for candidate in results.measured:
        file = out / "predictions" / "test" / f"{candidate.id.replace('/', '-')}.safetensors"
        answers[candidate.id] = edgedistill.Answers.open(file)
    right = {name: np.asarray(said.values["logits"]).argmax(axis=1) == labels for name, said in answers.items()}
    return Made(results, {name: np.stack([was, np.ones(len(was))], axis=1) for name, was in right.items()})


def table(dataset: str, made: Made) -> list[Tree]:
    """The teacher, and the files of every round, which show where accuracy is lost."""
    teacher = made.results.teacher
    parameters = {round_.id: round_.parameters for round_ in made.results.rounds}
    nothing: Tree = dict.fromkeys(("file bytes", "tokenizer bytes", "MB"))
    found: list[Tree] = [
        {
            "data": dataset,
            "model": "teacher",
            "precision": "fp32",
            "parameters": teacher.parameters,
            **nothing,
            "validation": teacher.validation.value,
            "test": teacher.test.value,
            "kept": 1.0,
            "gain over teacher [95% CI]": None,
        }
    ]
    for candidate in made.results.measured:
        tokenizer = candidate.tokenizer_bytes
        assert tokenizer is not None
        paired = compare(ACCURACY, made.right[candidate.id], made.right["teacher"])
        low, high = paired.interval.low, paired.interval.high
        found.append(
            {
                "data": dataset,
                "model": candidate.model,
                "precision": candidate.precision,
                "parameters": parameters[candidate.model],
                "file bytes": candidate.file_bytes,
                "tokenizer bytes": tokenizer,
                "MB": (candidate.file_bytes + tokenizer) / 1e6,
                "validation": candidate.validation.value,
                "test": candidate.test.value,
                "kept": candidate.test.value / teacher.test.value,
                "gain over teacher [95% CI]": f"{paired.gain:+.4f} [{low:+.4f}, {high:+.4f}]",
            }
        )
    return found


def goals(rows: list[Tree]) -> list[Goal]:
    """Each bar on each data set that has run so far: for the file that is best on validation within the size."""
    found = []
    for dataset in dict.fromkeys(str(row["data"]) for row in rows):
        files = [row for row in rows if row["data"] == dataset and row["MB"] is not None]
        for megabytes, share in BARS:
            goal = f"{dataset}: >= {share:.0%} of the teacher's accuracy in <= {megabytes} MB, tokenizer included"
            within = [row for row in files if float(str(row["MB"])) <= megabytes]
            if not within:
                found.append(Goal(goal, "no file is that small", False))
                continue
            best = max(within, key=lambda row: float(str(row["validation"])))
            kept, size = float(str(best["kept"])), float(str(best["MB"]))
            shown = f"{kept:.3%} in {size:.3f} MB ({best['model']}, {best['precision']})"
            found.append(Goal(goal, shown, kept >= share))
    return found


if __name__ == "__main__":
    main()
