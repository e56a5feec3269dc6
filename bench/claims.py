"""Does it help? Each claimed benefit of distilling in rounds, compared with a run without it, on CLINC150.

    python -m bench.claims --data DIR --teacher FOLDER --tiny FOLDER --out DIR [--seeds 0 1 2]

DIR holds `clinc150/` and `banking77/`. The student is the pretrained tiny BERT (4.4M parameters). All gains are paired
on the test items, over the seeds; both arms of a row take the same number of steps. Rows that share a run folder share
the teacher, its signals and the first round. "The number of rounds must be found by experiment" is `bench.rounds`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from scipy.special import log_softmax
from sklearn.metrics import roc_auc_score

import edgedistill
from bench.arms import Gain, gain, right_on_test, train
from bench.record import Goal, record
from bench.rounds import VIEWS, base
from bench.trees import Tree, mapping
from edgedistill.data.views import mistyped

KL: Tree = {"kind": "kl", "temperature": 2.0}
FEW = 10
"""Labelled texts per class in the adaptation."""


@dataclass(frozen=True)
class Inputs:
    """Paths."""

    data: Path
    teacher: Path
    tiny: Path
    out: Path
    seeds: list[int]


def stage(epochs: int, views: bool = True, **change: object) -> Tree:
    found: Tree = {
        "name": "soft-targets",
        "epochs": epochs,
        "learning_rate": 2e-3,
        "batch_size": 128,
        "dropout": 0.0,
        "losses": [KL],
    }
    return {**found, **({"augment": VIEWS} if views else {}), **change}


def rounds(tiny: Path) -> list[Tree]:
    """Everything that starts from one first round."""
    fresh: Tree = {"init": "checkpoint", "model": str(tiny)}
    again: Tree = {"init": "keep_layers", "from": "first", "layers": 2}
    focal: Tree = {"of": "first", "kind": "focal"}
    every = 1 + int(str(VIEWS["copies"]))
    return [
        {"id": "first", "student": fresh, "stages": [stage(2)]},
        {"id": "born-again", "teacher": "first", "student": fresh, "stages": [stage(2)]},
        {"id": "mean", "teacher": ["teacher", "first"], "student": fresh, "stages": [stage(2)]},
        {"id": "plain", "student": again, "stages": [stage(1, learning_rate=1e-3)]},
        {"id": "focal", "student": again, "stages": [stage(1, learning_rate=1e-3, errors=focal)]},
        {
            "id": "focal-teacher",
            "student": again,
            "stages": [stage(1, learning_rate=1e-3, errors={**focal, "against": "teacher"})],
        },
        {"id": "no-views", "student": fresh, "stages": [stage(2 * every, views=False)]},
    ]


def with_typos(texts: list[str]) -> list[str]:
    """The texts with typos: one in every fourth word."""
    generator = np.random.default_rng(0)

    def typed(text: str) -> str:
        return " ".join(mistyped(word, generator) if generator.random() < 0.25 else word for word in text.split())

    return [typed(text) for text in texts]


def texts_of(file: Path) -> list[str]:
    return [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()]


def few(file: Path, out: Path) -> Path:
    """The first texts of every class."""
    by_label: dict[str, list[Tree]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        by_label.setdefault(row["label"], []).append(row)
    return write_rows([row for rows in by_label.values() for row in rows[:FEW]], out)


def write_rows(rows: list[Tree], out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "teacher", "tiny", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    inputs = Inputs(**vars(parser.parse_args()))
    rows: list[Tree] = []
    goals: list[Goal] = []
    from_one_round(inputs, rows, goals)
    adaptation(inputs, rows, goals)
    compression(inputs, rows, goals)


def add(
    rows: list[Tree], goals: list[Goal], claim: str, arms: tuple[str, str], shares: tuple[float, float], found: Gain
) -> None:
    """One claim's row and goal; what has run so far is recorded."""
    rows.append(
        {"claim": claim, "with": arms[0], "without": arms[1], "figure with": shares[0], "figure without": shares[1]}
        | {"gain [95% CI]": str(found), "verdict": verdict(found)}
    )
    goals.append(Goal(f"{claim} helps", f"{found}: {verdict(found)}", found.low > 0))
    record("claims", rows, goals)


def verdict(found: Gain) -> str:
    """In words."""
    if found.low > 0:
        return "helps"
    return "harms" if found.high < 0 else "not shown"


def from_one_round(inputs: Inputs, rows: list[Tree], goals: list[Goal]) -> None:
    """Amplification, error correction and generalisation."""
    typos = with_typos(texts_of(inputs.data / "clinc150" / "test.jsonl"))
    elsewhere = texts_of(inputs.data / "clinc150" / "out_of_scope.jsonl")
    tree = base("clinc150", inputs.data, inputs.teacher, rounds(inputs.tiny), inputs.seeds)
    tree["control"] = False
    trained = train(tree, inputs.out / "clinc150")

    def compare(claim: str, one: str, other: str) -> None:
        a, b = right_on_test(trained, one), right_on_test(trained, other)
        add(rows, goals, claim, (one, other), (float(a.mean()), float(b.mean())), gain(a, b))

    compare("amplification: taught by a student of the same size (born again)", "born-again", "first")
    compare("amplification: taught by the mean of teacher and student", "mean", "first")
    compare("error correction: what the first round gets wrong against the labels is upweighted", "focal", "plain")
    compare("error correction: ... against the teacher is upweighted", "focal-teacher", "plain")
    compare("generalisation: augmented views, accuracy on test", "first", "no-views")
    a, b = (on_typos(trained, model, typos) for model in ("first", "no-views"))
    named = ("first", "no-views")
    add(
        rows,
        goals,
        "generalisation: ... on a test set with typos",
        named,
        (float(a.mean()), float(b.mean())),
        gain(a, b),
    )
    a, b = (scope(trained, model, elsewhere) for model in named)
    claim = "generalisation: ... out-of-scope AUROC"
    add(rows, goals, claim, named, (float(a.mean()), float(b.mean())), over_seeds(a - b))


def on_typos(trained: edgedistill.EvaluatedRun, model: str, typos: list[str]) -> np.ndarray:
    """(S, N) right or wrong on the test set with typos."""
    rows = [{"text": text} for text in typos]
    answers = [trained.answers(model + suffix, rows).values["logits"].argmax(axis=1) for suffix in trained.suffixes]
    return np.stack([answer == trained.references().values["class"] for answer in answers]).astype(float)


def scope(trained: edgedistill.EvaluatedRun, model: str, elsewhere: list[str]) -> np.ndarray:
    """(S,) AUROC of the largest probability, test items against out-of-scope ones."""
    found = []
    rows = [{"text": text} for text in elsewhere]
    for suffix in trained.suffixes:
        inside, outside = (
            trained.said(model + suffix).values["logits"],
            trained.answers(model + suffix, rows).values["logits"],
        )
        sure = log_softmax(np.concatenate([inside, outside]), axis=1).max(axis=1)
        found.append(roc_auc_score(np.arange(len(sure)) < len(inside), sure))
    return np.array(found)


def over_seeds(differences: np.ndarray) -> Gain:
    """The mean over seeds with Student's interval: the seeds are the sample."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences)))
    mean = float(differences.mean())
    return Gain(mean, mean - half, mean + half)


def adaptation(inputs: Inputs, rows: list[Tree], goals: list[Goal]) -> None:
    """Few labelled texts of the task: is a body from another intent set a better start?"""
    train_file = few(inputs.data / "clinc150" / "train.jsonl", inputs.out / "few.jsonl")
    other: Tree = {
        name: {"path": str(inputs.data / "banking77" / f"{name}.jsonl")} for name in ("train", "validation", "test")
    }
    fresh: Tree = {"init": "checkpoint", "model": str(inputs.tiny)}
    tree = base("clinc150", inputs.data, inputs.teacher, [], inputs.seeds)
    mapping(tree, "data")["train"] = {"path": str(train_file)}
    fine_tune = mapping(mapping(tree, "teacher"), "fine_tune")
    fine_tune["epochs"] = 6
    here = stage(40, views=False)
    adapted: Tree = {"init": "keep_layers", "from": "banking", "layers": 2}
    tree |= {
        "control": False,
        "rounds": [
            {
                "id": "banking",
                "data": other | {"max_length": 64},
                "fine_tune": fine_tune | {"epochs": 1},
                "student": fresh,
                "stages": [stage(8, views=False)],
            },
            {"id": "adapted", "student": adapted, "stages": [here]},
            {"id": "direct", "student": fresh, "stages": [here]},
        ],
    }
    trained = train(tree, inputs.out / "adaptation")
    a, b = right_on_test(trained, "adapted"), right_on_test(trained, "direct")
    claim = f"adaptation: a body distilled on BANKING77 first, {FEW} texts per class of CLINC150"
    add(rows, goals, claim, ("adapted", "direct"), (float(a.mean()), float(b.mean())), gain(a, b))


def compression(inputs: Inputs, rows: list[Tree], goals: list[Goal]) -> None:
    """Cost and savings of quantizing the first round's student."""
    tree = base("clinc150", inputs.data, inputs.teacher, rounds(inputs.tiny)[:1], inputs.seeds[:1])
    tree |= {"control": False, "quantize": [{"precision": "fp32"}, {"precision": "int8-dynamic"}]}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        results = edgedistill.run(str(file), out=inputs.out / "clinc150")
    test = inputs.out / "clinc150" / "predictions" / "test"
    labels = edgedistill.References.open(test / "references.safetensors").values["class"]

    def right(precision: str) -> np.ndarray:
        values = edgedistill.Answers.open(test / f"first-onnx-{precision}-onnxruntime.safetensors").values["logits"]
        return (np.asarray(values).argmax(axis=1) == labels).astype(float)[None]

    whole, small = right("fp32"), right("int8-dynamic")
    found = gain(small, whole)
    ratio = size(results, "teacher/onnx/fp32") / size(results, "first/onnx/int8-dynamic")
    rows.append(
        {
            "claim": f"compression: int8, {ratio:.1f} times smaller than the teacher's fp32 file",
            "with": "first, int8-dynamic",
            "without": "first, fp32",
            "figure with": float(small.mean()),
            "figure without": float(whole.mean()),
            "gain [95% CI]": str(found),
            "verdict": "costs less than 0.5 points" if found.low > -0.005 else "costs",
        }
    )
    goals.append(Goal("compression: int8 costs less than 0.5 points of accuracy", str(found), found.low > -0.005))
    record("claims", rows, goals)


def size(results: edgedistill.Results, start: str) -> int:
    """Bytes of the first measured candidate with that id prefix."""
    return next(candidate.file_bytes for candidate in results.measured if candidate.id.startswith(start))


if __name__ == "__main__":
    main()
