"""A file on another processor's kernels, emulated: what it answers, beside its torch model, and what that costs in
instructions. Items are few, evenly spread: emulation is slow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill import plugins
from edgedistill.model_files import read_files
from edgedistill.step import Context
from edgedistill.store.records.base import FileName, plain
from edgedistill.store.records.files import Emulated

from .kinds.emulate import Inputs, Settings

if TYPE_CHECKING:
    from edgedistill.interfaces import Metric, Task
    from edgedistill.ragged import Ragged


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Emulated:
    """Publish `validation.safetensors` and `test.safetensors`: rows of the items asked."""
    from edgedistill.data import PreparedData
    from edgedistill.inference import references
    from edgedistill.measuring.instructions import answer_and_count
    from edgedistill.ragged import spread
    from edgedistill.signals import load_rows
    from edgedistill.statistics import metric_interval

    from .verify import fidelity

    task: Task = plugins.task(settings.task.type)
    data, files = PreparedData.of(inputs.data), read_files(inputs.file)
    names = {"validation": FileName("validation.safetensors"), "test": FileName("test.safetensors")}
    whole: dict[str, Ragged] = {split: data.tokens(split) for split in names}
    numbers = {split: spread(len(every), settings.emulation.items) for split, every in whole.items()}
    asked = {split: (context.scratch / f"{split}-inputs.safetensors", folder / name) for split, name in names.items()}
    for split, every in whole.items():
        every.take(numbers[split]).save(asked[split][0])
    cost = answer_and_count(
        files.opened,
        settings.runtime,
        settings.task.type,
        asked,
        "test",
        settings.emulation.cpu,
        context.scratch,
        length=settings.length,
        timeout_seconds=60 * settings.timeout_minutes,
    )
    torch_rows = load_rows(inputs.reference.path(inputs.reference.record.answers))
    against_torch = fidelity(load_rows(folder / names["validation"]), torch_rows.take(numbers["validation"]))
    metric: Metric = task.METRICS[settings.task.metric]
    labels = references(task, whole["test"].take(numbers["test"]))
    kept = labels != -100
    decided = load_rows(folder / names["test"]).values.argmax(axis=1)[kept]
    interval = metric_interval(metric, decided, labels[kept])
    context.progress.say(
        f"      {settings.runtime} on {settings.emulation.cpu}: agreement {against_torch.agreement:.4f}, "
        f"{cost.instructions_per_inference / 1e6:.2f} M instructions an inference"
    )
    return Emulated(
        validation=names["validation"],
        test=names["test"],
        validation_numbers=tuple(numbers["validation"].tolist()),
        test_numbers=tuple(numbers["test"].tolist()),
        cpu=settings.emulation.cpu,
        runtime_version=cost.runtime_version,
        backend=plain(cost.backend),
        items_of=len(whole["validation"]),
        test_items_of=len(whole["test"]),
        agreement_with_student=against_torch.agreement,
        max_abs_diff=against_torch.max_abs_diff,
        accuracy=metric.score(decided, labels[kept]),
        accuracy_ci=(interval.low, interval.high),
        instructions_per_inference=cost.instructions_per_inference,
        counted_inputs=cost.inputs,
    )
