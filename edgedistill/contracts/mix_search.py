"""The search of a mix: what was asked for, every file that was tried, and the one that was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Goal = Literal["size", "latency"]


@dataclass(frozen=True)
class Tried:
    """Measurements of one mix on validation, against the fp32 file."""

    bytes: int
    drop: float
    """How much worse the primary metric is on the same examples, whatever its direction."""
    divergence: float
    """Mean divergence of its answers from those of the fp32 file, in the task's measure."""
    p50_ms: float | None = None
    fp32_p50_ms: float | None = None
    """Medians of both files, timed in turns; None if latency does not matter to the search."""


@dataclass(frozen=True)
class Trial:
    """A mix that was tried."""

    parts: Mapping[str, str]
    """As in `Mix.parts`."""
    seen: Tried
    fits: bool
    """Whether its drop is within the bound and, in a search for latency, it is faster than the fp32 file."""


def in_words(parts: Mapping[str, str]) -> str:
    """A mix by precision; what is not named is fp32.

    >>> in_words({"attention.0": "int4", "attention.1": "int4", "attention.3": "int4", "head": "int8-dynamic"})
    'int4: attention 0-1, 3; int8-dynamic: head'
    """
    found: dict[str, dict[str, list[int]]] = {}
    for name, precision in parts.items():
        part, _, layer = name.partition(".")
        found.setdefault(precision, {}).setdefault(part, []).extend([int(layer)] if layer else [])
    return "; ".join(
        f"{precision}: {', '.join(f'{part} {_runs(layers)}'.strip() for part, layers in own.items())}"
        for precision, own in found.items()
    )


def _runs(numbers: Sequence[int]) -> str:
    """`0-2, 5`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


@dataclass(frozen=True)
class MixSearch:
    """What a search found."""

    prefer: Goal
    max_drop: float
    trials: tuple[Trial, ...]
    """In the order in which they were made."""
    chosen: int
    """Index of the trial whose file was published: the best that fits, or the nearest miss."""
    blocked: str | None
    """Why no trial meets the bound, in one sentence; None if one does."""
    exhausted: bool
    """Whether the search ended because it had used all its trials, so that a better mix may exist."""
