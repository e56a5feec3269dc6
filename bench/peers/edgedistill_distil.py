"""edgedistill on the same job: trains and tests its student, without exporting or timing files.

Recording signals (and creating views, if any) counts as training time.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch
import yaml

import edgedistill
from bench.peers.job import Finished, Job, Turns, accuracy, finish, read_job

PREPARING = ("record_signals", "augment_text")
"""Kinds of steps that correspond to what the other programs do during training."""


class Watching:
    """Waits for a turn before the student's first epoch and after each, and adds up what preparing it took."""

    def __init__(self, turns: Turns) -> None:
        self.preparation_seconds = 0.0
        self._turns = turns

    def __call__(self, kind: str, facts: Mapping[str, object]) -> None:
        if kind == "finished" and facts["kind_of_step"] in PREPARING:
            self.preparation_seconds += float(str(facts["seconds"]))
        if kind == "epoch" or (kind == "started" and facts["step"] == "student"):
            self._turns.wait()


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
    watching = Watching(turns)
    done = edgedistill.evaluate(str(file), out=job.folder() / "run", on_event=watching)
    training, labels = done.training("student"), done.references().values["class"]
    finish(
        job,
        done.said("student").values["logits"],
        labels,
        Finished(
            parameters=training.parameters,
            samples=round(sum(epoch.seconds * epoch.samples_per_second for epoch in training.epochs)),
            seconds=[epoch.seconds for epoch in training.epochs],
            preparation_seconds=watching.preparation_seconds,
            validation=[epoch.metric for epoch in training.epochs],
            versions={name: version(name) for name in ("edgedistill", "torch")},
            threads=torch.get_num_threads(),
            teacher=accuracy(done.said("teacher").values["logits"], labels),
        ),
    )


if __name__ == "__main__":
    main()
