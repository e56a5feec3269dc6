"""After a round: whether its drop from the teacher is real, whether the limits are met, and whether to go on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.candidates import Candidate
from edgedistill.model_files import read_files
from edgedistill.recipe import Limits, StopSpec, TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs
from edgedistill.tasks._former import METRICS

VERSION = 1


class Settings(Spec):
    """The stop rule, and the files that the round made."""

    task: TaskSpec
    round: str
    stop: StopSpec
    limits: Limits
    candidates: tuple[Candidate, ...]


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `judgement.json`; everything in it is measured on validation."""
    from edgedistill.data import PreparedData
    from edgedistill.stop import FileFigures, judge
    from edgedistill.tasks._former import load_rows, references

    task = plugins.task(settings.task.type)
    labels = references(task, PreparedData.of(inputs).items("validation"))
    kept = labels != -100
    teacher, student = (
        np.asarray(load_rows(inputs[role].path("validation.safetensors")).values).argmax(axis=1)[kept]
        for role in ("teacher", "student")
    )
    metric = METRICS[settings.task.metric]
    teacher_score = metric.score(teacher, labels[kept])
    files = []
    for row in settings.candidates:
        if inputs[f"verify:{row.verify_key}"].failure is not None:
            continue
        fidelity = inputs[f"verify:{row.verify_key}"].read_json("fidelity.json")
        size = read_files(inputs[f"file:{row.file_key}"]).bytes
        files.append(FileFigures(row.id, teacher_score - float(str(fidelity["accuracy"])), size / 1e6))
    found = judge(settings.round, metric, teacher, student, labels[kept], files, settings.stop, settings.limits)
    write_json(folder / "judgement.json", asdict(found))
    context.progress.say(f"      {found.reason}")
