"""Exports one model to one target, checked against torch at several shapes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import plugins
from edgedistill.artifacts import write_json
from edgedistill.errors import require
from edgedistill.interfaces import ExportRequest
from edgedistill.spec import Spec
from edgedistill.step import Context, Inputs

if TYPE_CHECKING:
    from edgedistill.interfaces import Batch

VERSION = 1


class Settings(Spec):
    """The target."""

    task: str
    target: str


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> None:
    """Publish the target's file and `shapes.json` (the difference from torch at each shape)."""
    from edgedistill.data import PreparedData
    from edgedistill.inference import model_inputs
    from edgedistill.models import load_model
    from edgedistill.signals import to_tensor

    exporter = plugins.find("exporters", settings.target)
    for module in exporter.REQUIRES:
        require(module, exporter.INSTALL)
    data = PreparedData(inputs["data"].folder)
    tokens = data.tokens("validation")
    task = plugins.find("tasks", settings.task)
    model = load_model(task.auto_class(), inputs["model"].path("model"), None)
    longest = np.argsort(-tokens.lengths, kind="stable")

    def samples(batch: int, length: int) -> Batch:
        """Real texts; one shorter than `length` is repeated until it fills it, so that no row is all padding."""
        items = np.resize(longest, batch)
        rows = [{name: column[0] for name, column in tokens.batch([int(i)]).items()} for i in items]
        return model_inputs(
            {
                name: to_tensor(np.stack([np.resize(row[name], length) for row in rows]))
                for name in rows[0]
                if name in tokens.sequences
            }
        )

    longest_input = data.max_length if task.TOKENS else int(tokens.lengths.max())
    request = ExportRequest(model, model.config, samples, longest_input, fixed_length=not task.TOKENS)
    checks = exporter.export(request, folder)
    write_json(folder / "shapes.json", [asdict(check) for check in checks])
