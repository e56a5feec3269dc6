"""Fidelity: a device file against its torch model on the whole validation set, item by item."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.errors import EdgedistillError
from edgedistill.model_files import read_files
from edgedistill.recipe import TaskSpec
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from edgedistill.tasks._former import Rows

VERSION = 3


class Settings(Spec):
    """The runtime that runs the files."""

    task: TaskSpec
    runtime: str
    timeout_minutes: float


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish `validation.safetensors` (the file's rows), the same of padded batches, and `fidelity.json`."""
    from edgedistill.data import PreparedData
    from edgedistill.measuring.latency import Answering, answers
    from edgedistill.tasks._former import load_rows, references, score

    data = PreparedData.of(inputs)
    task = plugins.task(settings.task.type)
    tokens = data.items("validation")
    given, output = context.scratch / "inputs.safetensors", folder / "validation.safetensors"
    tokens.save(given)
    files = read_files(inputs["file"])
    asked = Answering(files.opened, settings.runtime, settings.task.type, 60 * settings.timeout_minutes)
    together = folder / "validation_batched.safetensors" if not files.lengths else None
    backend = answers(asked, given, output, context.scratch, batched=together)
    device, torch_rows = load_rows(output), load_rows(inputs["reference"].path("validation.safetensors"))
    labels = references(task, tokens)
    facts: dict[str, object] = {**fidelity(device, torch_rows), "backend": backend}
    facts["accuracy"] = score(settings.task.metric, device, labels)
    if together is not None:
        # Scales that a file computes from its input (int8-dynamic) are those of the whole batch, padding included.
        rows = load_rows(together)
        facts["agreement_batched"] = fidelity(rows, torch_rows)["agreement"]
        facts["accuracy_batched"] = score(settings.task.metric, rows, labels)
    raw, names = data.rows("validation"), data.labels
    owner = np.repeat(np.arange(len(device)), np.diff(device.offsets))
    decided, expected = device.values.argmax(axis=1), torch_rows.values.argmax(axis=1)
    facts["flips"] = [
        {
            "text": task.data.show(raw[int(owner[row])], data.columns),
            "reference": names[labels[row]] if labels[row] >= 0 else "",
            "model": names[expected[row]],
            "device": names[decided[row]],
        }
        for row in np.flatnonzero(decided != expected)
    ]
    write_json(folder / "fidelity.json", facts)


def fidelity(device: Rows, torch_rows: Rows) -> dict[str, float]:
    """How closely a file repeats its torch model: agreement of decisions, differences of logits, KL(torch || file).

    Raises:
        EdgedistillError: other shapes, or outputs that are not numbers.
    """
    from edgedistill.statistics import kl_divergence

    a, b = np.asarray(device.values), np.asarray(torch_rows.values)
    if a.shape != b.shape:
        raise EdgedistillError(f"the device file gives {a.shape} logits, its torch model {b.shape}")
    if not np.isfinite(a).all():
        raise EdgedistillError(f"the device file gives {int((~np.isfinite(a)).sum())} logits that are not numbers")
    difference, divergence = np.abs(a - b), kl_divergence(b, a)
    return {
        "agreement": float((a.argmax(axis=1) == b.argmax(axis=1)).mean()),
        "max_abs_diff": float(difference.max()),
        "mean_abs_diff": float(difference.mean()),
        "mean_kl": float(divergence.mean()),
        "max_kl": float(divergence.max()),
    }
