"""Is a run's verdict right that a quantized file is faster than its fp32 file? The bench's own timing, of more rounds
and interleaved with other files, decides. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.peers.compared import Ratio
from bench.record import Goal

GOAL = "The 'is it faster' verdict is right on 30 files (students x precisions x lengths)"
FILES = 30
FIELD = "speed_up"
"""The candidate's field in results.json: fp32's median latency divided by the file's, with its interval."""
CLOSE = 0.05
"""A verdict of no difference is right where the bench finds less than this."""

Word = Literal["faster", "slower", "no difference"]


@dataclass(frozen=True)
class Checked:
    """One file at one length."""

    name: str
    said: Word
    found: Ratio
    """Its time by the bench as a multiple of its fp32 file's: below 1 is faster."""

    @property
    def right(self) -> bool:
        """Whether the bench agrees."""
        return {
            "faster": self.found.value < 1,
            "slower": self.found.value > 1,
            "no difference": abs(self.found.value - 1) < CLOSE,
        }[self.said]


def verdict(candidate: Mapping[str, object]) -> Word | None:
    """What a candidate of results.json says; None: nothing."""
    given = candidate.get(FIELD)
    if not isinstance(given, Mapping):
        return None
    return "faster" if given["low"] > 1 else "slower" if given["high"] < 1 else "no difference"


def verdict_goal(checked: Sequence[Checked], skipped: str) -> Goal:
    """Whether all are right, and enough of them.

    Args:
        skipped: why there are none.
    """
    if not checked:
        return Goal(GOAL, f"not measured: {skipped}", met=False)
    wrong = [file for file in checked if not file.right]
    shown = f"{len(checked) - len(wrong)} of {len(checked)} files"
    if wrong:
        shown += ": wrong are " + "; ".join(f"{file.name}, said {file.said}, takes {file.found}" for file in wrong)
    return Goal(GOAL, shown, met=not wrong and len(checked) >= FILES)
