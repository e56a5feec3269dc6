"""After a round: whether its drop from the teacher is real, whether the limits are met, and whether to go on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.candidates import Candidate
from edgedistill.contracts.answers import Answers
from edgedistill.model_files import read_files
from edgedistill.recipe import Limits, StopSpec, TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

VERSION = 2


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

    task = plugins.task(settings.task.type)
    metric = task.judge.metrics[settings.task.metric]
    references = task.data.references(PreparedData.of(inputs).items("validation"))
    teacher, student = (
        metric.statistics(Answers.open(inputs[role].path("validation.safetensors")), references)
        for role in ("teacher", "student")
    )
    teacher_value = metric.figure(teacher)
    files = []
    for row in settings.candidates:
        if inputs[f"verify:{row.verify_key}"].failure is not None:
            continue
        fidelity = inputs[f"verify:{row.verify_key}"].read_json("fidelity.json")
        size = read_files(inputs[f"file:{row.file_key}"]).bytes
        files.append(FileFigures(row.id, metric.gain(teacher_value, float(str(fidelity["accuracy"]))), size / 1e6))
    found = judge(settings.round, metric, teacher, student, files, settings.stop, settings.limits)
    write_json(folder / "judgement.json", asdict(found))
    context.progress.say(f"      {found.reason}")
