"""A file on another processor's kernels, emulated: what it answers, beside its torch model, and what that costs in
instructions. Items are few, evenly spread: emulation is slow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.artifacts import write_json
from edgedistill.model_files import read_files
from edgedistill.recipe import EmulationSpec, TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from edgedistill.ragged import Ragged

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
    """Publish `validation.safetensors` and `test.safetensors` (rows of the items asked), `items.json` (their numbers)
    and `emulation.json`."""
    from edgedistill.data import PreparedData
    from edgedistill.measuring.instructions import answer_and_count
    from edgedistill.ragged import spread
    from edgedistill.signals import load_rows

    from .verify import fidelity

    data, files = PreparedData.of(inputs), read_files(inputs["file"])
    cpu = settings.emulation.cpu
    numbers, tokens, asked = {}, {}, {}
    for split in ("validation", "test"):
        every: Ragged = data.tokens(split)
        numbers[split] = spread(len(every), settings.emulation.items)
        tokens[split] = every.take(numbers[split])
        asked[split] = context.scratch / f"{split}-inputs.safetensors", folder / f"{split}.safetensors"
        tokens[split].save(asked[split][0])
    cost = answer_and_count(
        files.opened,
        settings.runtime,
        settings.task.type,
        asked,
        "test",
        cpu,
        context.scratch,
        length=settings.length,
        timeout_seconds=60 * settings.timeout_minutes,
    )
    reference = load_rows(inputs["reference"].path("validation.safetensors")).take(numbers["validation"])
    against_torch = fidelity(load_rows(folder / "validation.safetensors"), reference)
    write_json(folder / "items.json", {split: found.tolist() for split, found in numbers.items()})
    write_json(
        folder / "emulation.json",
        {
            "cpu": cpu,
            "runtime_version": cost.runtime_version,
            "backend": cost.backend,
            "items": len(numbers["validation"]),
            "items_of": len(data.tokens("validation")),
            "agreement_with_student": against_torch["agreement"],
            "max_abs_diff": against_torch["max_abs_diff"],
            "test_items": len(numbers["test"]),
            "test_items_of": len(data.tokens("test")),
            "instructions_per_inference": cost.instructions_per_inference,
            "counted_inputs": cost.inputs,
        },
    )
    context.progress.say(
        f"      {settings.runtime} on {cpu}: agreement {against_torch['agreement']:.4f}, "
        f"{cost.instructions_per_inference / 1e6:.2f} M instructions an inference"
    )
