"""A quantized file beside the fp32 file of the same model, target, runtime, threads and batch: is it worth having here?
Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgedistill.evaluation.speed_up import SpeedUp

Flaw = Literal["slower", "larger"]

_BLOCKING: dict[str, tuple[Flaw, ...]] = {
    "metric": ("slower", "larger"),
    "latency": ("slower",),
    "size": ("larger",),
    "peak_rss_mb": ("larger",),
}
"""By preference, the flaws for which a quantized file is not chosen. Time to first token and tokens per second are
compared themselves, so the latency of one run blocks nothing there."""


@dataclass(frozen=True)
class BesideFp32:
    """Both files."""

    precision: str
    fp32: str
    """The fp32 candidate's id."""
    speed_up: SpeedUp
    file_mb: float
    fp32_mb: float

    @property
    def flaws(self) -> dict[Flaw, str]:
        """A sentence on each."""
        found: dict[Flaw, str] = {}
        if self.speed_up.slower:
            found["slower"] = f"{self.precision} is slower than fp32 here: {self.speed_up.shown}"
        if self.file_mb > self.fp32_mb:
            found["larger"] = f"{self.precision} is larger than fp32: {self.file_mb:.2f} MB, fp32 {self.fp32_mb:.2f} MB"
        return found

    def blocks(self, prefer: str) -> tuple[str, ...]:
        """The sentences on the flaws that matter under a preference of the recipe."""
        matter = _BLOCKING.get(prefer, ())
        return tuple(sentence for flaw, sentence in self.flaws.items() if flaw in matter)
