"""Prompts of given lengths, of which a task tells how fast a file answers."""

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
"""Prompts of each length, or as many as a batch has."""


@dataclass(frozen=True)
class PromptFiles:
    """Prompts as the measuring process reads them."""

    files: Mapping[int, Path] = field(default_factory=dict)
    """By length in tokens, shortest first."""
    too_long: tuple[int, ...] = ()
    """Prompt lengths beyond the model's context."""


def write_prompts(
    prompts: Prompts, items: Items, lengths: Sequence[int] | None, longest: int, batch: int, place: Path
) -> PromptFiles:
    """Make prompts of real tokens.

    Args:
        items: of the data that they are made of.
        lengths: in tokens; None: the task's own.
        longest: that the model reads.
        batch: the most that are asked at once.
        place: what their files' names begin with.
    """
    asked = prompts.lengths if lengths is None else lengths
    files = {}
    for tokens in asked:
        if tokens <= longest:
            files[tokens] = place.with_name(f"{place.name}-{tokens}.safetensors")
            prompts.items(items, tokens, max(_COUNT, batch)).save(files[tokens])
    return PromptFiles(files, tuple(tokens for tokens in asked if tokens > longest))


def longest_prompt(task: Task, folder: Path) -> int:
    """How many tokens the model in a folder reads at most."""
    from edgedistill.models.loading import load_config, longest_input, outline

    return longest_input(outline(task.model.auto_class(), load_config(folder, None)))


def speeds_of(speeds: Sequence[Speed], phases_ms: Mapping[str, Sequence[float]]) -> dict[str, dict[str, object]]:
    """Percentiles of each of a task's figures, by its name, from what the phases of every run took."""
    phases = {phase: np.array(samples) for phase, samples in phases_ms.items()}
    return {speed.name: summary_of(speed.of(phases), speed.direction) for speed in speeds}
