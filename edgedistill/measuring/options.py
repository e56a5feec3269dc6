"""Options for measuring a model file or a bundle, shared by the Python API, the command line and the measuring code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgedistill.errors import UserError
from edgedistill.isolation.emulation.cpus import CPUS

_OF_A_FILE = {
    "tokenizer": "--tokenizer",
    "task": "--task",
    "metric": "--metric",
    "columns": "--column",
    "max_length": "--max-length",
    "emulated_items": "--emulated-items",
}
"""Options that a bundle sets itself."""


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """How to measure a model file or a bundle. Defaults: the run's settings for a bundle, those below for a file.

    Raises:
        UserError: a number that is too small, or a processor that cannot be emulated.
    """

    runtime: str | None = None
    """Default for a file: `onnxruntime`."""
    threads: int | None = None
    """Default for a file: 1."""
    batch: int | None = None
    """Items per run of the model; default for a file: 1."""
    min_seconds: float = 5.0
    """Minimum seconds of timing."""
    tokenizer: str | Path | None = None
    """File only: folder with `tokenizer.json` and `config.json` (label names); default: searched for beside and above
    the file."""
    task: str | None = None
    """File only; default: `text-classification`."""
    metric: str | None = None
    """File only; default: `accuracy`. The task's other metrics are also computed."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """File only: the data's column for each of the task's columns, such as `{"text": "sentence"}`."""
    max_length: int | None = None
    """File only: maximum number of tokens, to which inputs are truncated; default: 128."""
    emulated_cpu: str | None = None
    """Processor to emulate: `cortex-a76` (default) or `cortex-a53`."""
    emulated_items: int | None = None
    """File only: number of items to run under emulation, evenly spaced; default: all."""

    def __post_init__(self) -> None:
        for name in ("threads", "batch", "max_length", "emulated_items"):
            number: int | None = getattr(self, name)
            if number is not None and number < 1:
                raise UserError(f"measure: {name} is {number}, expected 1 or more")
        if not (math.isfinite(self.min_seconds) and self.min_seconds > 0):
            raise UserError(f"measure: min_seconds is {self.min_seconds}, expected a number above 0")
        if self.emulated_cpu is not None and self.emulated_cpu not in CPUS:
            raise UserError(f"measure: got emulated cpu {self.emulated_cpu!r}, expected one of {', '.join(CPUS)}")

    def refuse_for_bundle(self) -> None:
        """Refuse options that only apply to a file.

        Raises:
            UserError: one is given.
        """
        if given := [flag for name, flag in _OF_A_FILE.items() if getattr(self, name) not in (None, {})]:
            raise UserError(
                f"measure: {' and '.join(given)} do not apply to a bundle, which has its own inputs and settings"
            )
