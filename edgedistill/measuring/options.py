"""How a model file or a bundle is measured: what the Python call, the command line and the measuring share."""

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
"""What a bundle has of its own."""


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """How to measure a model file or a bundle. What is not given is as a bundle's run had it, or a file's default.

    Raises:
        UserError: a number that is too small, or a processor that cannot be emulated.
    """

    runtime: str | None = None
    """Of a file: `onnxruntime`."""
    threads: int | None = None
    """Of a file: 1."""
    batch: int | None = None
    """Items in one run of the model; of a file: 1."""
    min_seconds: float = 5.0
    """Time for at least so long."""
    tokenizer: str | Path | None = None
    """File only: the folder with `tokenizer.json` and `config.json` (label names); unless given, looked for beside and
    above the file."""
    task: str | None = None
    """File only: `text-classification`."""
    metric: str | None = None
    """File only: `accuracy`. The task's others are computed too."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """File only: which column of the data has what the task asks for, as `{"text": "sentence"}`."""
    max_length: int | None = None
    """File only: cut inputs to so many tokens; 128."""
    emulated_cpu: str | None = None
    """What an emulated runtime runs on: `cortex-a76`, unless given, or `cortex-a53`."""
    emulated_items: int | None = None
    """File only: ask an emulated runtime only so many items, evenly spread; unless given, all."""

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
        """Refuse what only a file can be given.

        Raises:
            UserError: something is.
        """
        if given := [flag for name, flag in _OF_A_FILE.items() if getattr(self, name) not in (None, {})]:
            raise UserError(
                f"measure: {' and '.join(given)} do not apply to a bundle, which has its own inputs and settings"
            )
