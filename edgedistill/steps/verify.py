"""Fidelity: compares an exported file with its PyTorch model on the whole validation set, item by item."""

from __future__ import annotations

from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.items import Items
from edgedistill.contracts.judge import Judge
from edgedistill.data.prepared import PreparedData
from edgedistill.exporting.files import read_files
from edgedistill.measuring.device_model import DeviceModel, Opened
from edgedistill.measuring.judged import BATCHED, EvaluationSet, answer_and_judge, fidelity_figures, flips
from edgedistill.measuring.readers import texts_read
from edgedistill.steps.kinds.verify import Inputs, Settings
from edgedistill.store.records.base import FileName, plain
from edgedistill.store.records.files import Verified
from edgedistill.store.step import Context


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Verified:
    """Publish `validation.safetensors` (the file's answers), and the same of padded batches."""
    data, files = PreparedData.of(inputs.data), read_files(inputs.file)
    task = registry.task(settings.task.type)
    own = task.judge(settings.task)
    items, metric, raw = data.items("validation"), settings.task.metric, data.rows("validation")
    asked = EvaluationSet(
        items,
        references=task.data.references(items),
        expected=Answers.open(inputs.reference.path(inputs.reference.record.answers)),
    )
    model = DeviceModel(files.opened, settings.runtime, settings.task.type, 60 * settings.timeout_minutes)
    with model.opened(context.scratch) as opened:
        found = answer_and_judge(opened, own, asked)
        # Scales that a file computes from its input (int8-dynamic) are those of the whole batch, padding included.
        together = None if files.lengths else answer_and_judge(opened, own, asked, BATCHED)
        checks = _checks(inputs, own, opened, items)
        read = None
        if task.data.tokens and checks:
            read = texts_read(opened, data, [task.data.show(row, data.columns) for row in raw])
    made = Verified(
        answers=FileName("validation.safetensors"),
        answers_batched=FileName("validation_batched.safetensors") if together is not None else None,
        backend=plain(opened.loaded.backend),
        fidelity=fidelity_figures(found),
        value=found.figures[metric],
        agreement_batched=fidelity_figures(together).agreement if together is not None else None,
        value_batched=together.figures[metric] if together is not None else None,
        flips=flips(own, found, data.labels, lambda example: task.data.show(raw[example], data.columns)),
        checks=checks,
        texts_read=read,
    )
    found.answers.save(folder / made.answers)
    if together is not None and made.answers_batched is not None:
        together.answers.save(folder / made.answers_batched)
    return made


def _checks(inputs: Inputs, judge: Judge, opened: Opened, items: Items) -> dict[str, float]:
    """What the task checks of a file besides its answers; nothing of most tasks."""
    from safetensors.numpy import load_file

    reference = inputs.reference
    if judge.checks is None or reference.record.probe is None:
        return {}
    expected = load_file(reference.path(reference.record.probe))
    return dict(judge.checks(expected, opened.probe(items)))
