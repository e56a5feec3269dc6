"""Fidelity: a device file against its torch model on the whole validation set, item by item."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import plugins
from edgedistill.errors import EdgedistillError
from edgedistill.model_files import read_files
from edgedistill.step import Context
from edgedistill.store.records.base import FileName, plain
from edgedistill.store.records.files import Fidelity, Flip, Verified

from .kinds.verify import Inputs, Settings

if TYPE_CHECKING:
    from edgedistill.arrays import Integers
    from edgedistill.data import PreparedData
    from edgedistill.interfaces import Rows, Task


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> Verified:
    """Publish `validation.safetensors` (the file's rows), and the same of padded batches."""
    from edgedistill.data import PreparedData
    from edgedistill.inference import references, score
    from edgedistill.measuring.latency import Answering, answers
    from edgedistill.signals import load_rows

    data = PreparedData.of(inputs.data)
    task = plugins.task(settings.task.type)
    tokens = data.tokens("validation")
    files = read_files(inputs.file)
    answered = FileName("validation.safetensors")
    batched = FileName("validation_batched.safetensors") if not files.lengths else None
    given = context.scratch / "inputs.safetensors"
    tokens.save(given)
    asked = Answering(files.opened, settings.runtime, settings.task.type, 60 * settings.timeout_minutes)
    together = folder / batched if batched is not None else None
    backend = answers(asked, given, folder / answered, context.scratch, batched=together)
    device, torch_rows = load_rows(folder / answered), load_rows(inputs.reference.path(inputs.reference.record.answers))
    labels = references(task, tokens)
    agreement_batched = accuracy_batched = None
    if together is not None:
        # Scales that a file computes from its input (int8-dynamic) are those of the whole batch, padding included.
        rows = load_rows(together)
        agreement_batched = fidelity(rows, torch_rows).agreement
        accuracy_batched = score(task, settings.task.metric, rows, labels)
    return Verified(
        answers=answered,
        answers_batched=batched,
        backend=plain(backend),
        fidelity=fidelity(device, torch_rows),
        accuracy=score(task, settings.task.metric, device, labels),
        agreement_batched=agreement_batched,
        accuracy_batched=accuracy_batched,
        flips=tuple(_flips(device, torch_rows, labels, data, task)),
    )


def _flips(device: Rows, torch_rows: Rows, labels: Integers, data: PreparedData, task: Task) -> Iterator[Flip]:
    """Where the file decides otherwise than its torch model."""
    raw, names = data.rows("validation"), data.labels
    owner = np.repeat(np.arange(len(device)), np.diff(device.offsets))
    decided, expected = device.values.argmax(axis=1), torch_rows.values.argmax(axis=1)
    for row in np.flatnonzero(decided != expected):
        yield Flip(
            text=task.show(raw[int(owner[row])], data.columns),
            reference=names[labels[row]] if labels[row] >= 0 else "",
            model=names[expected[row]],
            device=names[decided[row]],
        )


def fidelity(device: Rows, torch_rows: Rows) -> Fidelity:
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
    return Fidelity(
        agreement=float((a.argmax(axis=1) == b.argmax(axis=1)).mean()),
        max_abs_diff=float(difference.max()),
        mean_abs_diff=float(difference.mean()),
        mean_kl=float(divergence.mean()),
        max_kl=float(divergence.max()),
    )
