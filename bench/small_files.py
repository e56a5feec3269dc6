"""How much of the teacher's accuracy do files of at most 2.5 and 1.2 MB keep, tokenizer included?

    python -m bench.small_files --data DIR --teacher FOLDER --out DIR [--store DIR] [--datasets clinc150 banking77]

DIR holds `clinc150/` and `banking77/`, each with train, validation and test.jsonl. Both run the shipped recipe
`small-files`, whose sizes and steps were chosen on validation only; a killed bench resumes. The teacher is in fp32, as
PyTorch computes it; figures are on test, and drops are paired with it, with the product's own interval. Sizes are those
of the files on disk.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import edgedistill
from bench.record import Goal, record
from bench.trees import Tree

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
BARS = (("larger", 2.5, 0.99), ("smaller", 1.2, 0.97))
"""Model, megabytes (10^6 bytes) with its tokenizer, and share of the teacher's accuracy to keep in them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "teacher", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--datasets", nargs="+", default=list(CHANGES))
    given = parser.parse_args()
    rows: list[Tree] = []
    for dataset in given.datasets:
        results = edgedistill.run(
            RECIPE, overrides(dataset, given.data, given.teacher), out=given.out / dataset, store=given.store
        )
        rows += table(dataset, results)
        record("small_files", rows, goals(rows))


def overrides(dataset: str, data: Path, teacher: Path) -> list[str]:
    """The recipe's values for one data set."""
    files = [f"data.{split}.path={data / dataset / split}.jsonl" for split in ("train", "validation", "test")]
    return [*files, f"teacher.model={teacher}", "teacher.revision=main", *CHANGES[dataset]]


def table(dataset: str, results: edgedistill.Results) -> list[Tree]:
    """The teacher, and every file of the models with a bar: fp32 for what the bits cost."""
    teacher = results.teacher.test.value
    parameters = {round_.id: round_.parameters for round_ in results.rounds}
    found: list[Tree] = [
        {
            "data": dataset,
            "model": "teacher",
            "precision": "PyTorch, fp32",
            "parameters": results.teacher.parameters,
            "file bytes": None,
            "tokenizer bytes": None,
            "MB": None,
            "accuracy": teacher,
            "kept": 1.0,
            "drop [95% CI]": None,
            "validation": results.teacher.validation.value,
        }
    ]
    for candidate in results.measured:
        if candidate.model not in [model for model, _, _ in BARS]:
            continue
        tokenizer, drop = candidate.tokenizer_bytes, candidate.drop
        assert tokenizer is not None
        assert drop.interval is not None
        low, high = drop.interval
        found.append(
            {
                "data": dataset,
                "model": candidate.model,
                "precision": candidate.precision,
                "parameters": parameters[candidate.model],
                "file bytes": candidate.file_bytes,
                "tokenizer bytes": tokenizer,
                "MB": (candidate.file_bytes + tokenizer) / 1e6,
                "accuracy": candidate.test.value,
                "kept": candidate.test.value / teacher,
                "drop [95% CI]": f"{drop.value:+.4f} [{low:+.4f}, {high:+.4f}]",
                "validation": candidate.validation.value,
            }
        )
    return found


def goals(rows: list[Tree]) -> list[Goal]:
    """Each bar on each data set that has run so far."""
    found = []
    for dataset in dict.fromkeys(str(row["data"]) for row in rows):
        for model, megabytes, share in BARS:
            asked = (dataset, model, "small")
            row = next(row for row in rows if (row["data"], row["model"], row["precision"]) == asked)
            kept, size = float(str(row["kept"])), float(str(row["MB"]))
            goal = f"{dataset}: >= {share:.0%} of the teacher's accuracy in <= {megabytes} MB, tokenizer included"
            found.append(Goal(goal, f"{kept:.2%} in {size:.3f} MB", kept >= share and size <= megabytes))
    return found


if __name__ == "__main__":
    main()
