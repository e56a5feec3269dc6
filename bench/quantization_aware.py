"""Does training in a file's arithmetic repair what quantizing loses, and does it pay to go there in two rounds?

    python -m bench.quantization_aware --data DIR --tiny FOLDER --out DIR [--seeds 0 1 2]

DIR holds `clinc150/`. The float model is the pretrained tiny BERT (4.4M parameters, 2 layers x 128), fine-tuned; its
own logits teach the same network with the products' weights in 2 bits. Arms, at equal steps and each from the float
weights: straight to 2 bits (`direct`), its control (labels only), through 4 bits (`stepwise`: half of the epochs in
int4 arithmetic, half in int2), and in float (`longer`), to tell the arithmetic from the additional steps.

Files are those of the first seed, exported, quantized and run by the recipe; gains over seeds are of the trained
models, whose weights are already rounded. All gains are paired on the test items.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

import edgedistill
from bench.arms import Gain, gain, right_on_test, train
from bench.record import Goal, record
from bench.trees import Tree

TEACHER_EPOCHS = 12
EPOCHS = 4
PRECISIONS = ("fp32", "int2")
COSTS = "rounding the float model to int2 costs accuracy"
REPAIRED = "training in int2 arithmetic repairs what rounding to int2 loses"
LONGER = "... and more than as many steps in float, then rounded"
TAUGHT = "the float model's logits help, compared with labels only"
ROUNDS = "32 -> 4 -> 2 bits is better than 32 -> 2 at equal steps"


@dataclass(frozen=True)
class Inputs:
    """Paths."""

    data: Path
    tiny: Path
    out: Path
    seeds: list[int]


def stage(precision: str | None, epochs: int) -> Tree:
    return {
        "name": precision or "float",
        "quantize": precision,
        "epochs": epochs,
        "learning_rate": 1e-3,
        "batch_size": 64,
        "dropout": 0.0,
        "losses": [{"kind": "kl", "temperature": 2.0}],
    }


def recipe(inputs: Inputs, name: str, stages: list[Tree], *, control: bool) -> Tree:
    """One round from the float model, in one or more precisions."""
    files: Tree = {
        split: {"path": str(inputs.data / "clinc150" / f"{split}.jsonl")} for split in ("train", "validation", "test")
    }
    return {
        "schema": "edgedistill/1",
        "name": "quantization-aware",
        "seed": inputs.seeds[0],
        "seeds": inputs.seeds[1:],
        "task": {"type": "text-classification", "metric": "accuracy"},
        "data": {**files, "max_length": 64},
        "teacher": {
            "model": str(inputs.tiny),
            "fine_tune": {"epochs": TEACHER_EPOCHS, "learning_rate": 1e-3, "batch_size": 64},
        },
        "rounds": [{"id": name, "student": {"init": "keep_layers", "from": "teacher", "layers": 2}, "stages": stages}],
        "control": control,
        "quantize": [{"precision": precision} for precision in PRECISIONS],
        "measure": {"min_seconds": 0.1},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "tiny", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    inputs = Inputs(**vars(parser.parse_args()))
    direct = recipe(inputs, "direct", [stage("int2", EPOCHS)], control=True)
    longer = recipe(inputs, "longer", [stage(None, EPOCHS)], control=False)
    made = files(inputs, direct) | files(inputs, longer)
    rows = [file_row(name, *found, made) for name, found in made.items()]
    goals = file_goals({name: right for name, (_, right) in made.items()})
    record("quantization_aware", rows, goals)
    half = [stage("int4", EPOCHS // 2), stage("int2", EPOCHS - EPOCHS // 2)]
    stepwise = recipe(inputs, "stepwise", half, control=False)
    one, other = train(direct, inputs.out), train(stepwise, inputs.out)
    right = {
        "direct": right_on_test(one, "direct"),
        "control": right_on_test(one, "direct-control"),
        "stepwise": right_on_test(other, "stepwise"),
    }
    for arm, against in (("direct", "control"), ("stepwise", "direct")):
        found = gain(right[arm], right[against])
        goals.append(Goal(TAUGHT if against == "control" else ROUNDS, str(found), found.low > 0))
        rows.append(row(f"model, {len(inputs.seeds)} seeds", arm, right[arm], against, found))
    rows.append(row(f"model, {len(inputs.seeds)} seeds", "control", right["control"], None, None))
    record("quantization_aware", rows, goals)


def files(inputs: Inputs, tree: Tree) -> dict[str, tuple[float, np.ndarray]]:
    """MB and (1, N) right or wrong on test of every file of the first seed, by `model/precision`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(yaml.safe_dump({**tree, "seeds": []}), encoding="utf-8")
        results = edgedistill.run(str(file), out=inputs.out)
    test = inputs.out / "predictions" / "test"
    labels = edgedistill.References.open(test / "references.safetensors").values["class"]
    found: dict[str, tuple[float, np.ndarray]] = {}
    for candidate in results.measured:
        model, _, precision, _ = candidate.id.split("/")[:4]
        said = edgedistill.Answers.open(test / f"{candidate.id.replace('/', '-')}.safetensors").values["logits"]
        right = (np.asarray(said).argmax(axis=1) == labels).astype(float)[None]
        found[f"{model}/{precision}"] = candidate.file_bytes / 1e6, right
    return found


def file_row(name: str, megabytes: float, right: np.ndarray, every: dict[str, tuple[float, np.ndarray]]) -> Tree:
    """Compared with the float model's file."""
    _, whole = every["teacher/fp32"]
    found = None if right is whole else gain(right, whole)
    return row("file", name, right, "teacher/fp32", found, megabytes)


def file_goals(right: dict[str, np.ndarray]) -> list[Goal]:
    """Whether it costs, and what repairs it."""
    cost = gain(right["teacher/int2"], right["teacher/fp32"])
    repaired = gain(right["direct/int2"], right["teacher/int2"])
    ahead = gain(right["direct/int2"], right["longer/int2"])
    return [
        Goal(COSTS, str(cost), cost.high < 0),
        Goal(REPAIRED, str(repaired), repaired.low > 0),
        Goal(LONGER, str(ahead), ahead.low > 0),
    ]


def row(
    what: str, name: str, right: np.ndarray, against: str | None, found: Gain | None, megabytes: float | None = None
) -> Tree:
    return {
        "what": what,
        "name": name,
        "MB": megabytes,
        "accuracy": float(right.mean()),
        "by seed": [round(float(value), 4) for value in right.mean(axis=1)],
        "compared with": against if found is not None else None,
        "gain [95% CI]": str(found) if found is not None else None,
    }


if __name__ == "__main__":
    main()
