"""edgedistill: distil a transformer in rounds, quantize, export, verify and benchmark, and choose the student to
ship."""

from __future__ import annotations

from edgedistill.system import working_folder

working_folder.forget()

from typing import TYPE_CHECKING  # noqa: E402

from edgedistill.system import process  # noqa: E402
from edgedistill.version import __version__  # noqa: E402

process.prepare()

__all__ = [
    "Answers",
    "EdgedistillError",
    "EvaluatedRun",
    "MeasureOptions",
    "References",
    "Results",
    "Suggestions",
    "UserError",
    "__version__",
    "bundle",
    "compare",
    "compare_devices",
    "evaluate",
    "generate",
    "measure",
    "plan",
    "run",
    "suggest",
]

if TYPE_CHECKING:
    from edgedistill.api import (
        Answers,
        EdgedistillError,
        EvaluatedRun,
        MeasureOptions,
        References,
        Results,
        Suggestions,
        UserError,
        bundle,
        compare,
        compare_devices,
        evaluate,
        generate,
        measure,
        plan,
        run,
        suggest,
    )


def __getattr__(name: str) -> object:
    """Import functions and types on first use, to keep `edgedistill --help` fast."""
    if name in __all__:
        from edgedistill import api

        return getattr(api, name)
    raise AttributeError(f"module 'edgedistill' has no attribute {name!r}")
