"""After a round: whether its drop from the teacher is significant, whether the limits are met, and whether to
continue."""

from __future__ import annotations

from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers
from edgedistill.data.prepared import PreparedData
from edgedistill.evaluation.file_checks import faults
from edgedistill.evaluation.stop import FileFigures, judge
from edgedistill.exporting.files import read_files, tokenizer_bytes
from edgedistill.steps.kinds.judge_round import Inputs, Judged, Settings
from edgedistill.store.step import Context


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Judged:
    """Publish only the record."""
    task = registry.task(settings.task.type)
    own = task.judge(settings.task)
    metric = own.metrics[settings.task.metric]
    teacher, student = (
        metric.statistics(
            Answers.open(asked.path(asked.record.answers)),
            task.data.references(PreparedData.of(data).items("validation")),
        )
        for asked, data in ((inputs.teacher, inputs.data), (inputs.student, inputs.student_data))
    )
    teacher_value = metric.figure(teacher)
    files = []
    for row in settings.candidates:
        found = inputs.verified[row.verify_key]
        if found.failure is not None:
            continue
        verified = found.record
        made = read_files(inputs.files[row.file_key])
        shipped = made.bytes + (tokenizer_bytes(task, row.target, PreparedData.of(inputs.student_data)) or 0)
        drop = metric.gain(teacher_value, verified.value)
        unlike = verified.agreement_at(row.batch) < settings.min_agreement
        wrong = faults(own, row.precision, verified.checks, verified.texts_read)
        blocked = unlike or bool(wrong) or (made.search is not None and made.search.blocked is not None)
        files.append(FileFigures(row.id, drop, made.bytes / 1e6, shipped / 1e6, blocked))
    judgement = judge(settings.round, metric, teacher, student, files, settings.stop, settings.limits)
    context.progress.say(f"      {judgement.reason}")
    return Judged(judgement=judgement)
