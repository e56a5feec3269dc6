"""A single model file, the data to measure it on, and the options, with their defaults and checks."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts import registry
from edgedistill.errors import UserError
from edgedistill.isolation import environments
from edgedistill.isolation.emulation.cpus import DEFAULT_CPU
from edgedistill.measuring.emulated import emulated, refuse_options
from edgedistill.measuring.options import MeasureOptions
from edgedistill.system.machine import available_cores

if TYPE_CHECKING:
    from edgedistill.contracts.task_spec import TaskSpec

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoneFile:
    """What to benchmark, and how."""

    file: Path
    data: Path
    options: MeasureOptions

    @property
    def tokenizer(self) -> Path | None:
        """Its folder; None: searched for beside and above the file."""
        return Path(self.options.tokenizer) if self.options.tokenizer is not None else None

    @property
    def task(self) -> str:
        """By name."""
        return self.options.task or "text-classification"

    @property
    def metric(self) -> str:
        """The metric reported first."""
        return self.options.metric or "accuracy"

    @property
    def runtime(self) -> str:
        """By name."""
        return self.options.runtime or "onnxruntime"

    @property
    def threads(self) -> int:
        """Number of threads of the runtime."""
        return self.options.threads or 1

    @property
    def batch(self) -> int:
        """Items per run of the model."""
        return self.options.batch or 1

    @property
    def max_length(self) -> int:
        """Maximum number of tokens; longer inputs are truncated."""
        return self.options.max_length or 128

    @property
    def emulated_cpu(self) -> str | None:
        """Processor to emulate; None for a native runtime."""
        return (self.options.emulated_cpu or DEFAULT_CPU) if emulated(self.runtime) else None

    @cached_property
    def spec(self) -> TaskSpec:
        """The task's spec without options."""
        return registry.task_as(self.task, self.metric, {})


def refuse_request(request: LoneFile) -> None:
    """Report problems visible before anything is read.

    Raises:
        UserError: there is one.
    """
    if not request.file.exists():
        raise UserError(f"measure: '{request.file}' is not a file or folder")
    if not request.data.exists():
        raise UserError(f"measure: data '{request.data}' is not a file or folder")
    task, runtime = registry.task(request.task), registry.runtime(request.runtime)
    refuse_options(request.runtime, request.options.emulated_cpu, request.options.emulated_items)
    if not task.data.tokens:
        raise UserError(
            f"measure: a single model file for '{request.task}' cannot be measured yet, only files of text tasks"
        )
    metrics = task.judge(request.spec).metrics
    if request.metric not in metrics:
        known = ", ".join(sorted(metrics))
        raise UserError(f"measure: metric '{request.metric}' is unknown for {request.task}; expected one of {known}")
    if not runtime.opens(request.file):
        raise UserError(f"measure: '{request.file.name}' is not a file that {request.runtime} opens ({runtime.opened})")
    if (cores := available_cores()) < request.threads:
        _logger.warning("%d threads on %d cores compete with one another", request.threads, cores)
    if runtime.packages.emulated is not None and request.threads > 1:
        raise UserError(f"measure: {request.runtime} counts the instructions of one thread, got {request.threads}")
    environments.interpreter(runtime.packages)
