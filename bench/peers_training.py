"""Accuracy and speed of edgedistill and other libraries, distilling the same student with the same data, steps and
batch size.

    python -m bench.peers_training --data DIR --teacher FOLDER --student FOLDER --out DIR [--own-recipe FILE]
        [--python-textbrewer PYTHON] [--python-torchdistill PYTHON] [--systems trainer textbrewer ...] [--seeds 0 1 2]

DIR holds train, validation and test.jsonl (`text`, `label`); the teacher is a fine-tuned classifier of those labels
with its tokenizer (`models/teacher/` of a finished run), the student a pretrained model with the same vocabulary.

- `trainer`: a subclass of `transformers.Trainer` that asks a live teacher in `compute_loss`, as most people write it.
- `textbrewer`: TextBrewer's `GeneralDistiller`. `torchdistill`: its `DistillationBox` with `KDLoss`.
- `edgedistill`: the same losses. `own`: the stages of `--own-recipe`, a recipe with one round (of which only the stages
  are read) or just `stages`, with as many optimizer steps of the same batch size.

All minimise 0.9 x T² x KL at T = 2 + 0.1 x cross-entropy with AdamW (weight decay 0.01), 10% linear warm-up and a
cosine, gradients clipped at norm 1, batches padded to their longest text, and keep the epoch that is best on
validation, looked at once an epoch. Beyond that each runs as people usually run it. The peers: fp32, shuffled batches,
a live teacher, the optimizer as it comes (fused in `Trainer`, not where the user makes it). edgedistill at its
defaults: the teacher's logits recorded once, batches of similar length, the fused optimizer, bf16 where the hardware
has it.

Each program is a process of its own; after loading, they take turns, one epoch each. Time is that of the epochs without
validation and saving, for edgedistill with the recording of the signals (every seed records them again). A finished
program isn't run again; of a killed one, what was not finished starts over, edgedistill's where it stood.

Intervals are over test items, with each item's share of right answers over the seeds; how much the seeds differ stands
in `sd` and `by seed`.

The peers want environments of their own that see this one's packages, and none of their dependencies: pip would fetch
another torch.

    for name in brewer box; do python -m venv $name; python -c "import site; print(site.getsitepackages()[0])" \\
        > $(echo $name/lib/python3*/site-packages)/base.pth; done
    brewer/bin/pip install --no-deps textbrewer==0.2.1.post1 tensorboardX==2.6.5
    box/bin/pip install --no-deps torchdistill==1.1.5 torchvision==0.28.0
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.peers.job import Finished, Job
from bench.peers.turns import Program, run_in_turns
from bench.record import Goal, record
from edgedistill.arrays import Floats
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.metric import Metric
from edgedistill.evaluation.statistics import Paired, compare

SYSTEMS = {
    "trainer": ("transformers.Trainer, live teacher", "trainer_live_teacher"),
    "textbrewer": ("TextBrewer", "textbrewer_distil"),
    "torchdistill": ("torchdistill", "torchdistill_distil"),
    "edgedistill": ("edgedistill, same losses", "edgedistill_distil"),
    "own": ("edgedistill, its own recipe", "edgedistill_distil"),
}
OURS = ("edgedistill", "own")


def _known_already(answers: Answers, references: References) -> Floats:
    raise AssertionError("the shares of right answers are given")


SHARE_RIGHT = Metric("accuracy", "higher", _known_already, lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum()))
"""Of items whose share of right answers over the seeds is known already."""


@dataclass(frozen=True)
class Outcome:
    """One system over all seeds that have run."""

    name: str
    found: list[Finished]
    right: Floats
    """(N,) share of the seeds that are right on each test item."""
    accuracies: list[float]

    @property
    def speed(self) -> float:
        """Texts per second over all epochs of all seeds, preparation included."""
        seconds = sum(sum(run.seconds) + run.preparation_seconds for run in self.found)
        return sum(run.samples for run in self.found) / seconds

    @property
    def epoch_speed(self) -> float:
        """Texts per second in the median epoch, without preparation."""
        speeds = [run.samples / len(run.seconds) / seconds for run in self.found for seconds in run.seconds]
        return float(np.median(speeds))


def main() -> None:
    given = arguments()
    wanted = [name for name in given.systems if name != "own"] + (["own"] if given.own_recipe else [])
    stages = read_stages(given.own_recipe, given.batch_size) if given.own_recipe else None
    train = thinned(given.data / "train.jsonl", given.take, given.out)
    pythons = {"textbrewer": given.python_textbrewer, "torchdistill": given.python_torchdistill}
    for number, seed in enumerate(given.seeds):
        programs = []
        for name in wanted:
            folder = (given.out / name / f"seed{seed}").resolve()
            job = Job(
                train=str(train.resolve()),
                validation=str((given.data / "validation.jsonl").resolve()),
                test=str((given.data / "test.jsonl").resolve()),
                teacher=str(given.teacher.resolve()),
                student=str(given.student.resolve()),
                out=str(folder),
                epochs=given.epochs,
                batch_size=given.batch_size,
                learning_rate=given.learning_rate,
                seed=seed,
                stages=stages if name == "own" else None,
            )
            if prepare(job):
                programs.append(
                    Program(SYSTEMS[name][0], SYSTEMS[name][1], pythons.get(name, sys.executable), folder / "job.json")
                )
        run_in_turns(programs)
        outcomes = {name: outcome(name, given.out, given.seeds[: number + 1]) for name in wanted}
        check_equal_samples(outcomes, given.batch_size)
        rows = [row(name, outcomes) for name in wanted]
        record("peers_training", rows, goals(outcomes))


def arguments() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("data", "teacher", "student", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--own-recipe", type=Path)
    for name in ("textbrewer", "torchdistill"):
        parser.add_argument(f"--python-{name}", default=sys.executable)
    peers = [name for name in SYSTEMS if name != "own"]
    parser.add_argument("--systems", nargs="+", default=peers, choices=peers)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--take", type=int, help="train on this many rows, evenly spread over the file")
    given = parser.parse_args()
    if "edgedistill" not in given.systems:
        parser.error("--systems: expected 'edgedistill' among them: the others are compared with it")
    return given


def read_stages(file: Path, batch_size: int) -> list[dict[str, Any]]:
    """The stages of a recipe with one round, or of a file with `stages` only.

    Raises:
        SystemExit: there are none, or one has another batch size.
    """
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    found = tree.get("rounds", [tree])
    if len(found) != 1 or "stages" not in found[0]:
        raise SystemExit(f"{file}: expected one round with 'stages', or 'stages' alone")
    stages: list[dict[str, Any]] = found[0]["stages"]
    for stage in stages:
        if stage.get("batch_size") != batch_size:
            raise SystemExit(f"{file}: batch_size of a stage is {stage.get('batch_size')}, expected {batch_size}")
    return stages


def thinned(file: Path, take: int | None, out: Path) -> Path:
    """The file, or a copy with only `take` of its rows, evenly spread (so that every label stays)."""
    if take is None:
        return file
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    out.mkdir(parents=True, exist_ok=True)
    copy = out / f"train-{take}.jsonl"
    copy.write_text("".join(lines[i * len(lines) // take] for i in range(take)), encoding="utf-8")
    return copy


def prepare(job: Job) -> bool:
    """Write the job description; False when this very job has its result already."""
    folder = job.folder()
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(job), indent=1)
    description, result = folder / "job.json", folder / "result.json"
    if result.is_file() and description.is_file() and description.read_text(encoding="utf-8") == text:
        return False
    result.unlink(missing_ok=True)
    description.write_text(text, encoding="utf-8")
    return True


def outcome(name: str, out: Path, seeds: list[int]) -> Outcome:
    """A system's results with these seeds."""
    found, right = [], []
    for seed in seeds:
        folder = out / name / f"seed{seed}"
        found.append(Finished(**json.loads((folder / "result.json").read_text(encoding="utf-8"))))
        with np.load(folder / "test.npz") as test:
            right.append(test["logits"].argmax(axis=1) == test["labels"])
    return Outcome(SYSTEMS[name][0], found, np.mean(right, axis=0), [float(answers.mean()) for answers in right])


def check_equal_samples(outcomes: dict[str, Outcome], batch_size: int) -> None:
    """Stop where a system was shown more or fewer texts than the others (by more than a batch an epoch).

    Raises:
        SystemExit: which one, and how many.
    """
    expected = outcomes["edgedistill"].found[0]
    for peer in outcomes.values():
        for found in peer.found:
            if abs(found.samples - expected.samples) > batch_size * len(expected.seconds):
                raise SystemExit(
                    f"{peer.name}: saw {found.samples} texts in training, expected about {expected.samples} as the "
                    "others; change its epochs"
                )


def difference(ours: Outcome, other: Outcome) -> Paired:
    """By how much ours is better: each item's share of right answers over the seeds, resampled by item."""
    one, two = (np.stack([side.right, np.ones(len(side.right))], axis=1) for side in (ours, other))
    return compare(SHARE_RIGHT, one, two)


def row(name: str, outcomes: dict[str, Outcome]) -> dict[str, object]:
    own = outcomes[name]
    teacher = outcomes["edgedistill"].found[0].teacher
    content: dict[str, object] = {
        "system": own.name,
        "versions": own.found[0].versions,
        "parameters": own.found[0].parameters,
        "teacher": teacher,
        "accuracy": float(np.mean(own.accuracies)),
        "sd": float(np.std(own.accuracies, ddof=1)) if len(own.accuracies) > 1 else None,
        "by seed": own.accuracies,
    }
    for reference in OURS:
        if reference in outcomes:
            paired = None if name == reference else difference(outcomes[reference], own)
            content[f"{outcomes[reference].name}: ahead by [95% CI]"] = (
                None if paired is None else [paired.gain, paired.interval.low, paired.interval.high]
            )
    return {
        **content,
        "texts": own.found[0].samples,
        "seconds": [round(sum(run.seconds), 1) for run in own.found],
        "seconds of preparation": [round(run.preparation_seconds, 1) for run in own.found],
        "texts/s": round(own.speed, 1),
        "texts/s in the median epoch": round(own.epoch_speed, 1),
        "threads": own.found[0].threads,
    }


def goals(outcomes: dict[str, Outcome]) -> list[Goal]:
    """Both goals for edgedistill with the same losses, and with its own recipe where that ran."""
    found = []
    peers = [peer for name, peer in outcomes.items() if name not in OURS]
    for name in OURS if peers else ():
        if name not in outcomes:
            continue
        ours = outcomes[name]
        paired = {peer.name: difference(ours, peer) for peer in peers}
        shown = "; ".join(
            f"{peer} {comparison.gain:+.4f} [{comparison.interval.low:+.4f}, {comparison.interval.high:+.4f}]"
            for peer, comparison in paired.items()
        )
        found.append(
            Goal(
                "edgedistill's student is at least as accurate as each peer's at equal student, data, steps and batch "
                "size",
                f"{ours.name}, {np.mean(ours.accuracies):.4f}: ahead of {shown}",
                all(comparison.gain >= 0 for comparison in paired.values()),
            )
        )
        speeds = "; ".join(f"{peer.name} {peer.speed:.0f}" for peer in peers)
        found.append(
            Goal(
                "edgedistill trains at least as fast as each peer",
                f"{ours.name}, preparation included: {ours.speed:.0f} texts/s against {speeds}",
                all(ours.speed >= peer.speed for peer in peers),
            )
        )
    return found


if __name__ == "__main__":
    main()
