"""edgedistill on the same job: its plan up to the student's logits on test; nothing is exported or timed as a file.

The recorded signals (and views, where the recipe has them) are part of the time of training.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
import yaml

from bench.peers.job import Finished, Job, Turns, finish, read_job
from edgedistill.contracts.answers import Answers
from edgedistill.data.prepared import PreparedData
from edgedistill.engine.local import execute
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.store.progress import Progress
from edgedistill.system.machine import versions

PREPARING = ("record_signals", "augment_text")
"""Kinds of steps that stand for what the other programs do while they train."""


class Turned(Progress):
    """Waits for a turn before the student's first epoch and after each."""

    turns: Turns

    def event(self, kind: str, **facts: object) -> None:
        super().event(kind, **facts)
        if kind == "epoch" or (kind == "started" and facts["step"] == "student"):
            self.turns.wait()


def recipe(job: Job) -> dict[str, Any]:
    plain = {
        "name": "soft-targets",
        "epochs": job.epochs,
        "batch_size": job.batch_size,
        "learning_rate": job.learning_rate,
        "warmup": job.warmup,
        "weight_decay": job.weight_decay,
        "max_grad_norm": job.max_grad_norm,
        "losses": [
            {"kind": "kl", "temperature": job.temperature, "weight": job.soft_weight},
            {"kind": "hard_label", "weight": job.hard_weight},
        ],
    }
    return {
        "schema": "edgedistill/1",
        "name": "peers",
        "seed": job.seed,
        "task": {"type": "text-classification", "metric": "accuracy"},
        "data": {
            **{name: {"path": getattr(job, name)} for name in ("train", "validation", "test")},
            "max_length": job.max_length,
        },
        "teacher": {"model": job.teacher},
        "rounds": [
            {
                "id": "student",
                "student": {"init": "checkpoint", "model": job.student},
                "stages": job.stages or [plain],
            }
        ],
        "control": False,
        "export": {"targets": ["onnx"], "teacher": False},
    }


def main() -> None:
    job, turns = read_job(), Turns()
    file = job.folder() / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe(job)), encoding="utf-8")
    loaded = reading.load(str(file))
    plan = make_plan(loaded, fingerprints.look_up(loaded)).until("test-student")
    run = job.folder() / "run"
    run.mkdir(exist_ok=True)
    progress = Turned(run / "events.jsonl", sys.stderr)
    progress.turns = turns
    done = execute(plan, run, progress)
    made = plan.made(done)
    training, tested = made.models["student"].record, made.tested["student"]
    logits = Answers.open(tested.path(tested.record.answers)).values["logits"]
    labels = np.asarray(PreparedData.of(made.data["teacher"].reading("test")).items("test").values["labels"])
    finish(
        job,
        logits,
        labels,
        Finished(
            parameters=training.parameters,
            samples=round(sum(each.seconds * each.samples_per_second for each in training.epochs)),
            seconds=[each.seconds for each in training.epochs],
            preparation_seconds=sum(each.manifest.seconds for each in done.values() if each.manifest.kind in PREPARING),
            validation=[each.metric for each in training.epochs],
            versions={name: found for name, found in versions().items() if name in ("edgedistill", "torch")},
            threads=torch.get_num_threads(),
            teacher=made.tested["teacher"].record.accuracy,
        ),
    )


if __name__ == "__main__":
    main()
