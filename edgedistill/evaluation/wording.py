"""How sentences and tables speak of a metric with a direction."""

from __future__ import annotations

from edgedistill.contracts.metric import Direction


def in_words(name: str) -> str:
    """A metric's name as a sentence has it."""
    return name.replace("_", " ")


def heading(metric: str, direction: Direction) -> str:
    """A metric over a column: `accuracy`, `perplexity (lower is better)`."""
    return in_words(metric) + ("" if direction == "higher" else " (lower is better)")


def axis(metric: str, direction: Direction, where: str) -> str:
    """A metric beside an axis on which better is up."""
    return f"{in_words(metric)} {where} ({direction} is better ↑)"


def drop_word(direction: Direction) -> str:
    """What a figure does that gets worse."""
    return "drop" if direction == "higher" else "rise"


def worsening(metric: str, direction: Direction) -> str:
    """What a worse figure is called: `accuracy drop`, `perplexity rise`.

    >>> worsening("f1_macro", "higher"), worsening("perplexity", "lower")
    ('f1 macro drop', 'perplexity rise')
    """
    return f"{in_words(metric)} {drop_word(direction)}"
