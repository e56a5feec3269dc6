"""A file on another processor's kernels, emulated: what it answers, beside its torch model, and what that costs in
instructions. Items are few, evenly spread: emulation is slow."""

from __future__ import annotations

from pathlib import Path

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.contracts.answers import Answers
from edgedistill.model_files import read_files
from edgedistill.recipe import EmulationSpec, TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

VERSION = 2


class Settings(Spec):
    """The runtime, the processor, and how many items."""

    task: TaskSpec
    runtime: str
    emulation: EmulationSpec
    length: int | None
    """Tokens of every counted input; None: its own."""
    timeout_minutes: float


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `validation.safetensors` and `test.safetensors` (answers to the items asked) and `emulation.json`."""
    from edgedistill.data import PreparedData
    from edgedistill.measuring.device_model import DeviceModel
    from edgedistill.measuring.judged import Asked, answer_and_judge, fidelity_figures, some_examples

    task = plugins.task(settings.task.type)
    data, files = PreparedData.of(inputs), read_files(inputs["file"])
    cpu, take = settings.emulation.cpu, settings.emulation.items
    validation, test = data.items("validation"), data.items("test")
    expected = Answers.open(inputs["reference"].path("validation.safetensors"))
    some, some_of_test = some_examples(validation, take), some_examples(test, take)
    model = DeviceModel(files.opened, settings.runtime, settings.task.type, 60 * settings.timeout_minutes, cpu)
    # One process for all: an emulated one takes long to start.
    with model.opened(context.scratch) as opened:
        found = answer_and_judge(opened, task.judge, Asked(validation, some, expected=expected))
        found.answers.save(folder / "validation.safetensors")
        opened.answers(test, some_of_test).save(folder / "test.safetensors")
        cost = opened.cost(test.take(some_of_test), 1, settings.length)
    against_torch = fidelity_figures(found)
    write_json(
        folder / "emulation.json",
        {
            "cpu": cpu,
            "runtime_version": cost.runtime_version,
            "backend": cost.backend,
            "items": len(some),
            "items_of": len(validation),
            "agreement_with_student": against_torch["agreement"],
            "max_abs_diff": against_torch["max_abs_diff"],
            "test_items": len(some_of_test),
            "test_items_of": len(test),
            "instructions_per_inference": cost.instructions_per_inference,
            "counted_inputs": cost.inputs,
        },
    )
    context.progress.say(
        f"      {settings.runtime} on {cpu}: agreement {against_torch['agreement']:.4f}, "
        f"{cost.instructions_per_inference / 1e6:.2f} M instructions an inference"
    )
