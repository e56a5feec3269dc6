"""After a round: whether its drop from the teacher is real, whether the limits are met, and whether to go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgedistill import plugins
from edgedistill.model_files import read_files
from edgedistill.step import Context

from .kinds.judge_round import Inputs, Judged, Settings


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Judged:
    """Publish nothing but the record."""
    from edgedistill.data import PreparedData
    from edgedistill.inference import references
    from edgedistill.signals import load_rows
    from edgedistill.stop import FileFigures, judge

    task = plugins.task(settings.task.type)
    labels = references(task, PreparedData.of(inputs.data).tokens("validation"))
    kept = labels != -100
    teacher, student = (
        np.asarray(load_rows(asked.path(asked.record.answers)).values).argmax(axis=1)[kept]
        for asked in (inputs.teacher, inputs.student)
    )
    metric = task.METRICS[settings.task.metric]
    teacher_score = metric.score(teacher, labels[kept])
    files = []
    for row in settings.candidates:
        verified = inputs.verified[row.verify_key]
        if verified.failure is not None:
            continue
        size = read_files(inputs.files[row.file_key]).bytes
        files.append(FileFigures(row.id, teacher_score - verified.record.accuracy, size / 1e6))
    found = judge(settings.round, metric, teacher, student, labels[kept], files, settings.stop, settings.limits)
    context.progress.say(f"      {found.reason}")
    return Judged(judgement=found)
