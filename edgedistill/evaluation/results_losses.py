"""What each step from the teacher to a file lost, in results."""

from __future__ import annotations

from typing import Literal

from edgedistill.evaluation.results_figures import Difference, Figure, Part


class Flip(Part):
    """A decision on which an exported file and its PyTorch model differ."""

    text: str
    reference: str
    model: str
    device: str


HopKind = Literal["round", "export", "precision", "export and precision", "runtime"]


class FlippedText(Part):
    """A decision that was right before a hop and is wrong after it, or the other way round."""

    text: str
    reference: str
    before: str
    after: str


class HopResult(Part):
    """One model or file and the next, on the same examples of test."""

    kind: HopKind
    """What differs: `export and precision` if the fp32 file was not measured."""
    before: str
    after: str
    """`teacher`, a round, or files under a runtime, as `MODEL/TARGET/PRECISION/RUNTIME`."""
    figure: Figure
    """The primary metric after it."""
    drop: Difference
    agreement: float | None
    """Share of equal decisions; null if the two are asked for different ones, as with another tokenizer."""
    lost: int | None
    """Decisions that were right before and are wrong after; null without agreement, or for a task without correct
    answers."""
    won: int | None
    """Those that were wrong before and are right after."""
    lost_texts: tuple[FlippedText, ...] = ()
    won_texts: tuple[FlippedText, ...] = ()
    """The first of each."""


class LossBudgetResult(Part):
    """What each hop from the teacher to a file cost."""

    candidate: str
    """The chosen one, otherwise the one with the best validation metric."""
    start: Figure
    """The teacher's primary metric on test."""
    hops: tuple[HopResult, ...]
    drop: Difference
    """From the teacher to the file; the hops' drops add up to it."""
