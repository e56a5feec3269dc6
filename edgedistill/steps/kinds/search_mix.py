"""Searches the smallest or fastest mix of a model's file whose drop on validation is within a bound."""

from __future__ import annotations

from typing import Annotated

from edgedistill.recipe.plugin_unions import TaskSpec
from edgedistill.recipe.quantization import SearchSpec
from edgedistill.spec import NotInKey, PluginName, Spec
from edgedistill.steps.kinds import make_file
from edgedistill.store.records.files import SearchedFiles
from edgedistill.store.step import StepKind


class Settings(Spec):
    """The search, and how its files are made and run."""

    task: TaskSpec
    file: make_file.Settings
    """Without parts, which are searched."""
    search: SearchSpec
    runtime: Annotated[str, PluginName("runtimes")]
    timeout_minutes: Annotated[float, NotInKey()]
    """For one answer of the runtime."""


KIND = StepKind("edgedistill.steps.search_mix:run", 1, Settings, make_file.Inputs, SearchedFiles)
TIMED = StepKind("edgedistill.steps.search_mix:run", 1, Settings, make_file.Inputs, SearchedFiles, host=True)
"""A search for latency, whose result depends on the machine."""
