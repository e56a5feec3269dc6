"""Does training in a file's arithmetic repair what quantizing loses, and does it pay to go there in two rounds?

    python -m bench.quantization_aware --data DIR --tiny FOLDER --out DIR [--seeds 0 1 2]

DIR holds `clinc150/`. The float model is the pretrained tiny BERT (4.4M parameters, 2 layers x 128), fine-tuned; its
own logits teach the same network with the products' weights in 2 bits, a quarter of those of int4. Arms, at equal
steps and each from the float weights: straight to 2 bits (`direct`), its control (labels only), and through 4 bits
(`stepwise`: half of the epochs in int4 arithmetic, half in int2).

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

EPOCHS = 4
PRECISIONS = ("fp32", "int2")
REPAIRED = "training in int2 arithmetic repairs what rounding to int2 loses"
TAUGHT = "the float model's logits help, compared with labels only"
ROUNDS = "32 -> 4 -> 2 bits is better than 32 -> 2 at equal steps"


@dataclass(frozen=True)
class Inputs:
    """Paths."""

    data: Path
    tiny: Path
    out: Path
    seeds: list[int]


def stage(precision: str, epochs: int) -> Tree:
    return {
        "name": precision,
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
            "fine_tune": {"epochs": EPOCHS, "learning_rate": 1e-3, "batch_size": 64},
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
    rows, goals = files(inputs, direct)
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


def files(inputs: Inputs, tree: Tree) -> tuple[list[Tree], list[Goal]]:
    """The files of the float model, rounded, and of the one that trained for it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(yaml.safe_dump({**tree, "seeds": []}), encoding="utf-8")
        results = edgedistill.run(str(file), out=inputs.out)
    test = inputs.out / "predictions" / "test"
    labels = edgedistill.References.open(test / "references.safetensors").values["class"]
    right: dict[str, np.ndarray] = {}
    for candidate in results.measured:
        said = edgedistill.Answers.open(test / f"{candidate.id.replace('/', '-')}.safetensors").values["logits"]
        right["/".join(candidate.id.split("/")[::2][:2])] = (np.asarray(said).argmax(axis=1) == labels)[None] * 1.0
    sizes = {"/".join(one.id.split("/")[::2][:2]): one.file_bytes for one in results.measured}
    rows, before = [], "teacher/int2"
    for name, own in right.items():
        found = None if name == before else gain(own, right[before])
        rows.append(row("file", name, own, before, found, sizes[name] / 1e6))
    repaired = gain(right["direct/int2"], right[before])
    left = gain(right["direct/int2"], right["teacher/fp32"])
    return rows, [Goal(REPAIRED, f"{repaired} over rounding to nearest; {left} to fp32", repaired.low > 0)]


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
