"""Executes a file with another processor's kernels under emulation: predictions compared with its PyTorch model, and
cost in instructions. Uses few items, evenly spaced, since emulation is slow."""

from __future__ import annotations

from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers
from edgedistill.data.prepared import PreparedData
from edgedistill.exporting.files import read_files
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.measuring.judged import EvaluationSet, answer_and_judge, fidelity_figures, some_examples
from edgedistill.steps.kinds.emulate import Inputs, Settings
from edgedistill.store.records.base import FileName, plain
from edgedistill.store.records.files import Emulated
from edgedistill.store.step import Context


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Emulated:
    """Publish `validation.safetensors` and `test.safetensors`: answers for the selected items."""
    task = registry.task(settings.task.type)
    data, files = PreparedData.of(inputs.data), read_files(inputs.file)
    cpu, take = settings.emulation.cpu, settings.emulation.items
    validation, test = data.items("validation"), data.items("test")
    expected = Answers.open(inputs.reference.path(inputs.reference.record.answers))
    some, some_of_test = some_examples(validation, take), some_examples(test, take)
    names = FileName("validation.safetensors"), FileName("test.safetensors")
    model = DeviceModel(files.opened, settings.runtime, settings.task.type, 60 * settings.timeout_minutes, cpu)
    # One process for all: emulated processes start slowly.
    with model.opened(context.scratch) as opened:
        found = answer_and_judge(opened, task.judge(settings.task), EvaluationSet(validation, some, expected=expected))
        found.answers.save(folder / names[0])
        opened.answers(test, some_of_test).save(folder / names[1])
        cost = opened.cost(test.take(some_of_test), 1, settings.length)
    against_torch = fidelity_figures(found)
    context.progress.say(
        f"      {settings.runtime} on {cpu}: agreement {against_torch.agreement:.4f}, "
        f"{cost.instructions_per_inference / 1e6:.2f} M instructions per inference"
    )
    return Emulated(
        validation=names[0],
        test=names[1],
        cpu=cpu,
        runtime_version=cost.runtime_version,
        backend=plain(cost.backend),
        items=len(some),
        items_of=len(validation),
        test_items=len(some_of_test),
        test_items_of=len(test),
        agreement_with_student=against_torch.agreement,
        max_abs_diff=against_torch.max_abs_diff,
        instructions_per_inference=cost.instructions_per_inference,
        counted_inputs=cost.inputs,
    )
