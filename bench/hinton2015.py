"""Hinton, Vinyals & Dean 2015, section 3, on scikit-learn's 1,797 digits: soft and hard targets, and a digit left out.

    python -m bench.hinton2015 [--out DIR]

First the recipe `hinton2015`: a large network, and a small one on hard labels (the control) and on soft targets, five
seeds. Then a small network that never sees a 3: its transfer set contains no 3 and no labels. Its bias for the 3 is
then raised by the best amount on validation, as the paper raises it by 3.5 (the best on its test set).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import edgedistill
from bench.record import Goal, record

OMITTED = "3"
PAPER = {
    "large, hard labels": "67 errors of 10,000 (MNIST, 1200 x 2 units, dropout)",
    "small, hard labels": "146 errors (800 x 2 units, no regularisation)",
    "small, soft targets": "74 errors (temperature 20)",
    "small, no 3 in the transfer set": "206 errors, 133 of the 1,010 threes",
    "small, no 3, bias raised": "109 errors, 14 of the threes (98.6% right)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = given.out or Path(scratch)
        results = edgedistill.run("hinton2015", out=out / "digits")
        trained = edgedistill.evaluate("hinton2015", out=out / "digits")
        labels = trained.references().values["class"]
        small = results.rounds[0]
        rows = [
            row("large, hard labels", [results.teacher.test.value], labels),
            row("small, hard labels", [seed.control or 0.0 for seed in small.seeds], labels),
            row("small, soft targets", [seed.value for seed in small.seeds], labels),
            *omitted(out, trained),
        ]
    soft, hard = float(str(rows[2]["accuracy"])), float(str(rows[1]["accuracy"]))
    raised = float(str(rows[4]["threes right"]))
    record(
        "hinton2015",
        rows,
        [
            Goal(
                "soft targets are better than hard ones at equal steps", f"{soft:.4f} against {hard:.4f}", soft > hard
            ),
            Goal("a digit never seen is known after its bias was raised", f"{raised:.3f} of the threes", raised > 0.9),
        ],
    )


def omitted(out: Path, whole: edgedistill.EvaluatedRun) -> list[dict[str, object]]:
    """The two rows of the experiment with a digit that the small network never sees."""
    transfer = out / "without-3.jsonl"
    images = [row["image"] for row in whole.rows("train") if row["label"] != OMITTED]
    transfer.write_text("".join(json.dumps({"image": image}) + "\n" for image in images), encoding="utf-8")
    change = [
        f"data.unlabeled={json.dumps({'path': str(transfer.resolve())})}",
        "rounds.0.stages.0.data=[unlabeled]",
        "rounds.0.stages.0.losses=[{kind: kl, temperature: 4.0}]",
        "control=false",
    ]
    trained = edgedistill.evaluate("hinton2015", change, out=out / "digits")
    digit = trained.labels.index(OMITTED)
    labels, validation = (trained.references(split).values["class"] for split in ("test", "validation"))
    plain: list[float] = []
    raised: list[float] = []
    threes: list[float] = []
    raised_threes: list[float] = []
    biases: list[float] = []
    for suffix in trained.suffixes:
        chosen, test = (trained.said(f"small{suffix}", split).values["logits"] for split in ("validation", "test"))
        bias = best_bias(chosen, validation, digit)
        for logits, scores, of_threes in ((test, plain, threes), (with_bias(test, digit, bias), raised, raised_threes)):
            right = logits.argmax(axis=1) == labels
            scores.append(float(right.mean()))
            of_threes.append(float(right[labels == digit].mean()))
        biases.append(bias)
    return [
        row("small, no 3 in the transfer set", plain, labels, threes),
        row("small, no 3, bias raised", raised, labels, raised_threes, biases),
    ]


def with_bias(logits: np.ndarray, digit: int, bias: float) -> np.ndarray:
    """The logits with one class's bias raised."""
    found = logits.copy()
    found[:, digit] += bias
    return found


def best_bias(logits: np.ndarray, labels: np.ndarray, digit: int) -> float:
    """The smallest bias for the digit with the highest accuracy, in steps of 0.1."""
    biases = np.arange(0, 20, 0.1)
    scores = [(with_bias(logits, digit, bias).argmax(axis=1) == labels).mean() for bias in biases]
    return float(biases[int(np.argmax(scores))])


def row(
    name: str,
    accuracies: list[float],
    labels: np.ndarray,
    threes: list[float] | None = None,
    biases: list[float] | None = None,
) -> dict[str, object]:
    return {
        "model": name,
        "seeds": len(accuracies),
        "accuracy": float(np.mean(accuracies)),
        "sd": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        f"errors of {len(labels)}": round(float((1 - np.mean(accuracies)) * len(labels)), 1),
        "threes right": None if threes is None else float(np.mean(threes)),
        "bias": None if biases is None else float(np.mean(biases)),
        "the paper": PAPER[name],
    }


if __name__ == "__main__":
    main()
