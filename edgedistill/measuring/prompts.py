"""Prompts of given lengths for a task's speed figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgedistill.contracts.items import Items
from edgedistill.contracts.speed import Prompts, Speed
from edgedistill.contracts.task import Task
from edgedistill.measuring.latency import summary_of

_COUNT = 16
"""Number of prompts of each length, or the batch size if larger."""


@dataclass(frozen=True)
class PromptFiles:
    """Prompts in files for the measuring process."""

    files: Mapping[int, Path] = field(default_factory=dict)
    """By length in tokens, shortest first."""
    too_long: tuple[int, ...] = ()
    """Prompt lengths beyond the model's context."""


def write_prompts(
    prompts: Prompts, items: Items, lengths: Sequence[int] | None, longest: int, batch: int, place: Path
) -> PromptFiles:
    """Create prompts from real tokens.

    Args:
        items: items of the data to use.
        lengths: in tokens; None: the task's own.
        longest: the model's context length.
        batch: the largest batch size.
        place: prefix of their file names.
    """
    asked = prompts.lengths if lengths is None else lengths
    files = {}
    for tokens in asked:
        if tokens <= longest:
            files[tokens] = place.with_name(f"{place.name}-{tokens}.safetensors")
            prompts.items(items, tokens, max(_COUNT, batch)).save(files[tokens])
    return PromptFiles(files, tuple(tokens for tokens in asked if tokens > longest))


def longest_prompt(task: Task, folder: Path) -> int:
    """The context length of the model in a folder."""
    from edgedistill.models.loading import load_config, longest_input, outline

    return longest_input(outline(task.model.auto_class(), load_config(folder, None)))


def speeds_of(speeds: Sequence[Speed], phases_ms: Mapping[str, Sequence[float]]) -> dict[str, dict[str, object]]:
    """Percentiles of each of a task's speed figures by name, from the phase times of every run."""
    phases = {phase: np.array(samples) for phase, samples in phases_ms.items()}
    return {speed.name: summary_of(speed.of(phases), speed.direction) for speed in speeds}
